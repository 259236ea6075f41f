"""Regularisers of volume renderings.

All are means (over pixels or over rays that hit something), while score distillation is a sum over the elements of
each view, so their loss weights are not comparable.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import check_shape


def sparsity(opacity: Tensor, epsilon: float = 0.01) -> Tensor:
    """Mean of sqrt(opacity^2 + epsilon): prefers empty rays (DreamFusion, app. A.2, opacity regularisation).

    opacity  any shape, in [0,1]; epsilon > 0 keeps the slope finite, and is the square of the value at opacity 0 (0.1)

    Returns a scalar between sqrt(epsilon) and sqrt(1 + epsilon); 0 for no pixel. Differentiable.
    """
    return _mean((opacity.square() + epsilon).sqrt())


def transmittance(opacity: Tensor, target: float) -> Tensor:
    """-min(target, mean of 1 - opacity), the mean over views: prefers empty rays until a share of them is empty (Dream
    Fields, Jain et al. 2022, eq. 6).

    opacity  [B,H,W,1] in [0,1]; target in [0,1]

    Returns a scalar between -target and 0. Differentiable; the gradient of a view is 0 once its target is reached.
    """
    check_shape("opacity", opacity, "B", "H", "W", 1)
    return -(1 - opacity).mean((1, 2, 3)).clamp(max=target).mean()


def opacity_entropy(opacity: Tensor, margin: float = 1e-3, unit: str = "nats") -> Tensor:
    """Mean binary entropy -o ln o - (1-o) ln(1-o): penalises rays that are neither transparent nor opaque.

    opacity  any shape, in [0,1], clamped to [margin, 1 - margin], outside of which the gradient is zero
    unit     "nats", or "bits" (logarithm of base 2)

    Returns a scalar between 0 and ln 2 nats = 1 bit; 0 for no pixel. Differentiable. The nats are threestudio's
    "opaque" loss, the cross entropy of opacity with itself. Raises ValueError for another unit.
    """
    if unit not in ("nats", "bits"):
        raise ValueError(f'unit must be "nats" or "bits", got "{unit}"')
    o = opacity.clamp(margin, 1 - margin)
    entropy = -_mean(o * o.log() + (1 - o) * (1 - o).log())
    return entropy / math.log(2) if unit == "bits" else entropy


def orientation(weights: Tensor, normal: Tensor, direction: Tensor, ray: Tensor, rays: int) -> Tensor:
    """Penalty on normals that face away from the camera (Ref-NeRF, Verbin et al. 2022, eq. 11).

    weights    [S]    volume-rendering weights; detached here, so that density is turned and not removed
    normal     [S,3]  unit, outward
    direction  [S,3]  unit, from the camera into the scene
    ray        [S]    int64: the ray of each sample
    rays       number of rays R

    Returns the scalar sum over samples of weight * max(0, n.d)^2, divided by the number of rays with opacity > 0;
    0 when there is none. Differentiable in normal and direction. Raises ShapeError naming the argument.
    """
    check_shape("weights", weights, "S")
    count = weights.shape[0]
    check_shape("normal", normal, count, 3)
    check_shape("direction", direction, count, 3)
    check_shape("ray", ray, count)
    weights = weights.detach()
    hit = torch.zeros(rays, dtype=weights.dtype, device=weights.device).index_add(0, ray, weights) > 0
    away = (normal * direction).sum(-1).clamp_min(0).square()
    return (weights * away).sum() / hit.sum().clamp_min(1)


def eikonal(gradient: Tensor) -> Tensor:
    """Mean of (|g| - 1)^2: 0 for an exact signed distance (Gropp et al. 2020, eq. 2).

    gradient [S,3] of the distance. Returns a scalar; 0 for no sample. Differentiable; where g is 0, no gradient.
    Raises ShapeError.
    """
    check_shape("gradient", gradient, "S", 3)
    return _mean((gradient.norm(dim=-1) - 1).square())


def depth_variance(weights: Tensor, t: Tensor, ray: Tensor, rays: int) -> Tensor:
    """The variance of the depth along each ray, mean over the rays that are more than half opaque: prefers one thin
    surface (HiFA, Zhu et al. 2023, "z-variance").

    weights  [S] of volume rendering, in [0,1]
    t        [S] distance along the ray
    ray      [S] int64, sorted; rays: number of rays R

    Returns a scalar in squared units of t; 0 for no such ray. Differentiable in weights and t. Raises ShapeError.
    """
    check_shape("weights", weights, "S")
    check_shape("t", t, len(weights))
    total = lambda values: weights.new_zeros(rays).index_add(0, ray, values)  # noqa: E731
    opacity = total(weights)
    solid = opacity.detach() > 0.5
    share = weights / opacity.clamp_min(1e-8)[ray]
    mean = total(share * t)
    return _mean(total(share * (t - mean[ray]).square())[solid])


def emptiness(weights: Tensor, rays: int, scale: float = 10.0) -> Tensor:
    """The sum of log(1 + scale * weight) along each ray, mean over rays: prefers few samples with large weights to many
    with small ones, which are fog (SJC, Wang et al. 2022, sec. 4.3, there divided by the number of samples).

    weights  [S] of volume rendering, in [0,1]; rays: number of rays

    Returns a scalar >= 0. Differentiable. Raises ShapeError.
    """
    check_shape("weights", weights, "S")
    return (scale * weights).log1p().sum() / max(rays, 1)


def _mean(values: Tensor) -> Tensor:
    """The mean, 0 for no element."""
    return values.sum() / max(values.numel(), 1)
