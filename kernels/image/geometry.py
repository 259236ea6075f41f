"""Geometry as pictures: normals in camera axes, and nearness of the surface."""
from __future__ import annotations

import torch

from ..checks import check_shape

SHORTEST = 1e-3  # a weight-summed normal below this length is not stretched to a unit normal: its direction is noise


def view_normals(normal: torch.Tensor, opacity: torch.Tensor, c2w: torch.Tensor) -> torch.Tensor:
    """Normals in the camera's axes, over a background that faces the camera.

    normal   [B,H,W,3]  world, weight-summed, length <= 1. Only its direction is used; coverage comes from the opacity
    opacity  [B,H,W,1]  in [0,1]
    c2w      [B,4,4]    camera to world, OpenGL axes

    Returns [B,H,W,3] in [0,1]: red grows towards the left of the picture, green upwards, blue towards the camera; the
    background and what faces the camera are (0.5, 0.5, 1). These are the axes of Normal-Bae (Bae et al. 2021), with
    which RichDreamer's models were trained (Qiu et al. 2023).
    Differentiable in normal and opacity. Raises ShapeError.
    """
    check_shape("normal", normal, "B", "H", "W", 3)
    check_shape("opacity", opacity, *normal.shape[:3], 1)
    check_shape("c2w", c2w, len(normal), 4, 4)
    axes = c2w[:, :3, :3] * c2w.new_tensor([-1.0, 1.0, 1.0])
    unit = normal / normal.norm(dim=-1, keepdim=True).clamp_min(SHORTEST)
    seen = torch.einsum("bhwi,bij->bhwj", unit, axes)
    return 0.5 + 0.5 * torch.lerp(seen.new_tensor([0.0, 0.0, 1.0]).expand_as(seen), seen, opacity)


def unit_normals(normal: torch.Tensor, opacity: torch.Tensor) -> torch.Tensor:
    """World normals made unit length, mapped to [0,1], over black: (n / |n| + 1) / 2 times opacity, as threestudio
    renders them.

    normal   [B,H,W,3]  world, weight-summed, length <= 1
    opacity  [B,H,W,1]  in [0,1]

    Returns [B,H,W,3] in [0,1]. Differentiable in both. Raises ShapeError.
    """
    check_shape("normal", normal, "B", "H", "W", 3)
    check_shape("opacity", opacity, *normal.shape[:3], 1)
    unit = normal / normal.norm(dim=-1, keepdim=True).clamp_min(SHORTEST)
    return (0.5 + 0.5 * unit) * opacity


def nearness(depth: torch.Tensor, opacity: torch.Tensor, direction: torch.Tensor, c2w: torch.Tensor,
             distance: torch.Tensor, reach: float) -> torch.Tensor:
    """1 on the plane at `distance` - reach in front of the camera, 0 on the one at `distance` + reach and where nothing
    is.

    depth      [B,H,W,1]  weight-summed distance along the ray, not divided by opacity
    opacity    [B,H,W,1]  in [0,1]
    direction  [B,H,W,3]  unit, of the rays
    c2w        [B,4,4]    camera to world, OpenGL axes
    distance   [B]        of the cameras from the middle of the scene

    Returns [B,H,W,1] in [0,1], linear in the distance of planes: (opacity far - z) / (far - near), z the weight-summed
    distance along the viewing direction (RichDreamer, Qiu et al. 2023, whose data and mesh renderer have such
    distances; its volume renderer takes those along rays).
    Differentiable in depth and opacity; zero gradient beyond the planes. Raises ShapeError.
    """
    check_shape("depth", depth, "B", "H", "W", 1)
    check_shape("opacity", opacity, *depth.shape)
    check_shape("direction", direction, *depth.shape[:3], 3)
    check_shape("c2w", c2w, len(depth), 4, 4)
    check_shape("distance", distance, len(depth))
    cosine = -(direction * c2w[:, None, None, :3, 2]).sum(-1, keepdim=True)
    far = (distance + reach).view(-1, 1, 1, 1)
    return ((opacity * far - depth * cosine) / (2 * reach)).clamp(0, 1)
