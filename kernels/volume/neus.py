"""Opacity of samples along rays through a signed distance (NeuS, Wang et al. 2021)."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_shape


def incidence(normal: Tensor, direction: Tensor, annealing: float = 1.0) -> Tensor:
    """Change of the distance per length along rays, clamped to be non-increasing: 0 >= c >= -1 (NeuS's published code).

    normal     [S,3] the distance's gradient, or its direction
    direction  [S,3] unit, from the camera into the scene
    annealing  0 treats every surface as half turned to the camera, so that surfaces that face away get gradients too; 1
               uses the cosine itself, up to 0. Raised from 0 to 1 during training

    Returns [S]. Differentiable in normal. Raises ShapeError.
    """
    check_shape("normal", normal, "S", 3)
    check_shape("direction", direction, normal.shape[0], 3)
    cosine = (normal * direction).sum(-1)
    return -((1 - annealing) * F.relu(0.5 - 0.5 * cosine) + annealing * F.relu(-cosine))


def opaque_density(sdf: Tensor, sharpness: Tensor) -> Tensor:
    """The density equivalent to NeuS's opacity on rays that meet the surface head on (eq. 10): s (1 - Phi(s x)),
    1/length.

    sdf [S], negative inside; sharpness [] s > 0. Returns [S] in [0, s], half of s at the surface. Differentiable in
    both.
    """
    return sharpness * torch.sigmoid(-sharpness * sdf)


def weight_density(sdf: Tensor, sharpness: Tensor) -> Tensor:
    """The logistic density s Phi (1 - Phi) [S], 1/length: the rendering weight per length on such a ray."""
    return opaque_density(sdf, sharpness) * torch.sigmoid(sharpness * sdf)


def neus_alpha(sdf: Tensor, slope: Tensor, delta: Tensor, sharpness: Tensor) -> Tensor:
    """The opacity of each sample's segment (eq. 13): max(0, (Phi(near) - Phi(far)) / Phi(near)), Phi(x) = sigmoid(s x).

    sdf        [S] at the middle of each segment, negative inside
    slope      [S] change of the distance per length along the ray, as `incidence` gives it
    delta      [S] segment length, > 0
    sharpness  [] s > 0, 1/length: the width of the surface is about 1/s

    Returns [S] in [0,1], for composite_alpha. The distances at both ends are sdf -+ slope * delta / 2. Computed as
    1 - exp(log Phi(far) - log Phi(near)), which needs no constants against division by zero, deep inside or outside.
    Differentiable in all but delta. Raises ShapeError.
    """
    check_shape("sdf", sdf, "S")
    check_shape("slope", slope, sdf.shape[0])
    check_shape("delta", delta, sdf.shape[0])
    check_shape("sharpness", sharpness)
    half = 0.5 * slope * delta.detach()
    near, far = sdf - half, sdf + half
    return -torch.expm1(F.logsigmoid(sharpness * far) - F.logsigmoid(sharpness * near)).clamp(max=0)
