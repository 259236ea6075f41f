"""Normals of what a depth picture shows."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from ..checks import check_shape

EMPTY = 1e-3  # opacity below which a pixel's depth is taken from its neighbours


def depth_normals(depth: torch.Tensor, opacity: torch.Tensor, origin: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """Unit normals [B,H,W,3], world, facing the camera, of the surface that goes through the pixels' mean depths.

    depth      [B,H,W,1]  weight-summed distance along the ray, not divided by opacity
    opacity    [B,H,W,1]  in [0,1]
    origin, direction  [B,H,W,3]  of the pixels' rays, direction unit

    Each pixel's points right and left, below and above; of a pair, where one is empty or farther off by a jump, the nearer
    one and the pixel itself. Pictures of at least 2 x 2 pixels. Differentiable in depth and opacity. Raises ShapeError.
    """
    check_shape("depth", depth, "B", "H", "W", 1)
    check_shape("opacity", opacity, *depth.shape)
    check_shape("origin", origin, *depth.shape[:3], 3)
    check_shape("direction", direction, *depth.shape[:3], 3)
    points = origin + direction * depth / opacity.clamp_min(EMPTY)
    solid = opacity.detach() > EMPTY
    across, down = _slope(points, solid, 2), _slope(points, solid, 1)
    normal = F.normalize(torch.cross(down, across, dim=-1), dim=-1, eps=1e-12)
    away = (normal * direction).sum(-1, keepdim=True) > 0
    return torch.where(away, -normal, normal)


def _slope(points: torch.Tensor, solid: torch.Tensor, axis: int) -> torch.Tensor:
    """From pixel to pixel along an axis: the shorter of the steps before and behind, or their mean where they are alike."""
    step = points.diff(dim=axis)
    valid = (solid.narrow(axis, 1, solid.shape[axis] - 1) & solid.narrow(axis, 0, solid.shape[axis] - 1))
    length = step.detach().norm(dim=-1, keepdim=True).where(valid, torch.inf)
    pad = [0, 0] * (step.ndim - 1 - axis)
    before, behind = F.pad(step, (*pad, 1, 0)), F.pad(step, (*pad, 0, 1))
    long_before, long_behind = F.pad(length, (*pad, 1, 0), value=torch.inf), F.pad(length, (*pad, 0, 1), value=torch.inf)
    alike = (long_before < 2 * long_behind) & (long_behind < 2 * long_before)
    return torch.where(alike, 0.5 * (before + behind), torch.where(long_before < long_behind, before, behind))
