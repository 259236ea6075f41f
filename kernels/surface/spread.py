"""Points spread evenly over a triangle mesh."""
from __future__ import annotations

import torch

from ..checks import check_shape
from .mesh import face_areas

# Powers of the plastic number's inverse: the most even additive sequence in the unit square (Roberts 2018, R2).
STEPS = (0.7548776662466927, 0.5698402909980532)


def spread_points(vertices: torch.Tensor, faces: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`count` points on a mesh, by area and with low discrepancy; the same every time.

    vertices [V,3], faces [F,3] int64 with some area; neighbours in space should be near each other in the list of
    faces, as those of an isosurface are

    Returns the face [count] int64 of each and its weights at that face's corners [count,3], which are positive and sum
    to 1. Raises ShapeError naming the argument, ValueError for a mesh without area. Not meant for gradients.
    """
    check_shape("faces", faces, "F", 3)
    cumulative = face_areas(vertices, faces).double().cumsum(0)
    if not len(cumulative) or not float(cumulative[-1]) > 0:
        raise ValueError(f"spread_points: {len(faces)} faces without area")
    number = torch.arange(count, dtype=torch.float64, device=vertices.device) + 0.5
    # Equal shares of the area, one after the other: a face gets its share of the points to within one.
    face = torch.searchsorted(cumulative, number / count * cumulative[-1]).clamp(max=len(faces) - 1)
    u, v = ((number * step) % 1 for step in STEPS)
    outside = u + v > 1
    u, v = torch.where(outside, 1 - u, u), torch.where(outside, 1 - v, v)
    return face, torch.stack([1 - u - v, u, v], -1).to(vertices.dtype)
