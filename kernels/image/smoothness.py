"""Regularisers of rendered pictures: total variation, and convexity of the surface that they show."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_shape


def total_variation(image: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, vertical plus horizontal (Rudin et al. 1992, anisotropic).

    image  [B,H,W,C], H and W at least 2

    Returns a scalar. Differentiable, with slope 0 where neighbours are equal. Raises ShapeError.
    """
    check_shape("image", image, "B", "H", "W", "C")
    return image.diff(dim=1).abs().mean() + image.diff(dim=2).abs().mean()


def concavity(points: Tensor, normal: Tensor, opacity: Tensor, cells: int = 8) -> Tensor:
    """How far the surface in a picture is from convex: a convex one lies behind the tangent planes of its points.

    points   [B,H,W,3]  of the surface, world
    normal   [B,H,W,3]  outward, of any length
    opacity  [B,H,W,1]  in [0,1], the weight of each pixel
    cells    the picture is averaged to cells x cells first, so that the shape counts and not its detail

    Returns the mean over pairs of cells of max(0, n_i . (p_j - p_i) / |p_j - p_i|), weighted by the opacity of both: a
    scalar in [0,1], 0 for a convex surface and for none. Differentiable in all three. Raises ShapeError.
    """
    check_shape("points", points, "B", "H", "W", 3)
    check_shape("normal", normal, *points.shape)
    check_shape("opacity", opacity, *points.shape[:3], 1)

    def averaged(values: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(values.permute(0, 3, 1, 2), cells).flatten(2).transpose(1, 2)

    covered = averaged(opacity)
    place = averaged(points * opacity) / covered.clamp_min(1e-6)
    outward = F.normalize(averaged(normal * opacity), dim=-1)
    apart = place[:, None] - place[:, :, None]  # [B,i,j,3] from cell i to cell j
    above = ((outward[:, :, None] * apart).sum(-1) / (apart.square().sum(-1) + 1e-8).sqrt()).clamp_min(0)
    others = 1 - torch.eye(covered.shape[1], device=covered.device, dtype=covered.dtype)
    pair = covered * covered.transpose(1, 2) * others
    return (pair * above).sum() / pair.sum().clamp_min(1e-8)
