"""3D Gaussians in the pack's world axes. Wires between nodes carry core's SPLAT; nodes work on `Splat`."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.encode.spherical_harmonics import encode_spherical_harmonics
from ...kernels.quaternion import multiply
from ..core.cameras import Cameras
from ..core.field import Splat
from .mesh import to_y_up

BAND_0 = 0.28209479177387814  # the constant spherical harmonic: a colour is 0.5 + BAND_0 sh
MAX_DEGREE = 3
# The turn of `to_splat_frame`, wxyz.
_TO_SPLAT = (0.5, 0.5, 0.5, -0.5)
_FROM_SPLAT = (0.5, -0.5, -0.5, 0.5)


def to_splat_frame(vectors: Tensor) -> Tensor:
    """(x, y, z) of our z-up world -> (y, -z, -x), [...,3]: Y up, then half a turn around x, which viewers of splats
    undo."""
    return to_y_up(vectors) * vectors.new_tensor([1.0, -1.0, -1.0])


def from_splat_frame(vectors: Tensor) -> Tensor:
    """The inverse of `to_splat_frame`. [...,3]"""
    return (vectors * vectors.new_tensor([1.0, -1.0, -1.0])).roll(1, -1)


def turn_to_splat_frame(rotations: Tensor) -> Tensor:
    """Quaternions [N,4] wxyz of our world in the splat frame."""
    return multiply(rotations.new_tensor([_TO_SPLAT]), rotations)


def turn_from_splat_frame(rotations: Tensor) -> Tensor:
    """The inverse of `turn_to_splat_frame`. [N,4]"""
    return multiply(rotations.new_tensor([_FROM_SPLAT]), rotations)


def sh_of(colors: Tensor) -> Tensor:
    """The band 0 [N,1,3] of colours [N,3]."""
    return ((colors - 0.5) / BAND_0)[:, None]


def seen_colors(splat: Splat, eyes: Cameras | Tensor | None) -> Tensor:
    """Colours of Gaussians, >= 0 as published: [B,N,3], or [N,3] if they do not depend on the view.

    eyes  the cameras, or their positions [B,3]; None: the mean over all directions

    Differentiable in sh, and for degrees above 0 in the positions.
    """
    degree = round(splat.sh.shape[1] ** 0.5) - 1
    if degree == 0 or eyes is None:
        return (0.5 + BAND_0 * splat.sh[:, 0]).clamp_min(0)
    toward = eyes.toward(splat.positions) if isinstance(eyes, Cameras) else splat.positions[None] - eyes[:, None]
    direction = F.normalize(to_splat_frame(toward), dim=-1)
    basis = encode_spherical_harmonics(direction.flatten(0, 1), degree).view(len(eyes), len(splat), -1)
    return (0.5 + torch.einsum("bnk,nkc->bnc", basis, splat.sh)).clamp_min(0)
