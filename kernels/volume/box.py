"""The axis-aligned box of a scene, and where rays cross it."""
from __future__ import annotations

import torch

from ..checks import check_shape


def box_bounds(bounds: float | torch.Tensor, device=None, dtype=torch.float32) -> torch.Tensor:
    """Corners [2, 3] (lowest, highest) of a box given as a radius r, for [-r, r]^3, or as corners.

    Raises ShapeError, or ValueError where the box is empty (and its corners are not on a device).
    """
    corners = torch.as_tensor(bounds, device=device, dtype=dtype)
    if corners.ndim == 0:
        corners = torch.stack((-corners, corners))[:, None].expand(2, 3)
    check_shape("bounds", corners, 2, 3)
    # Corners on another device are not checked: the comparison would wait for that device.
    if corners.device.type == "cpu" and not bool((corners[0] < corners[1]).all()):
        raise ValueError(f"bounds must enclose a box, lowest below highest on every axis, got {corners.tolist()}")
    return corners


def intersect_box(origins: torch.Tensor, directions: torch.Tensor,
                  bounds: float | torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where rays are inside a box, by the three slabs that form it.

    origins     [R, 3]; may lie inside
    directions  [R, 3], any length (t counts in it), zero components allowed
    bounds      radius or [2, 3] corners

    Returns near and far [R], 0 <= near < far where the ray crosses the box in front of its origin,
    and both 0 where it does not. Not differentiable. Raises ShapeError, ValueError.
    """
    check_shape("origins", origins, "R", 3)
    check_shape("directions", directions, *origins.shape)
    lowest, highest = box_bounds(bounds, origins.device, origins.dtype)
    with torch.no_grad():
        a, b = (lowest - origins) / directions, (highest - origins) / directions
        # A ray parallel to a slab is inside it everywhere or nowhere; dividing would give 0 / 0 on the face.
        parallel = directions == 0
        endless = torch.full_like(a, torch.inf)
        never = (origins < lowest) | (origins > highest)
        enter = torch.where(parallel, torch.where(never, endless, -endless), torch.minimum(a, b))
        leave = torch.where(parallel, torch.where(never, -endless, endless), torch.maximum(a, b))
        near, far = enter.amax(1).clamp_min(0), leave.amin(1)
        hit = (far > near) & far.isfinite()
        return torch.where(hit, near, 0), torch.where(hit, far, 0)
