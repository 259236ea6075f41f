"""Smoothing a surface without shrinking it."""
from __future__ import annotations

import torch

from ..checks import check_shape
from .mesh import unique_edges


def taubin_smooth(vertices: torch.Tensor, faces: torch.Tensor, iterations: int, *, shrink: float = 0.5,
                  inflate: float = -0.53) -> torch.Tensor:
    """Low-pass filter on vertex positions (Taubin 1995, section 3): each iteration shrinks, then inflates.

    vertices    [V,3]
    faces       [F,3] int64
    iterations  0 returns the vertices as they are
    shrink      in (0, 1): how far a vertex first moves towards the mean of its neighbours
    inflate     below -shrink: how far it then moves back. 1 / shrink + 1 / inflate is the pass-band frequency

    Returns [V,3]. Faces stay valid, so a watertight mesh stays watertight; vertices without faces do not move.
    Differentiable in vertices. Raises ShapeError naming the argument, ValueError for numbers outside their range.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, "F", 3)
    if iterations < 0 or not 0 < shrink < 1 or inflate > -shrink:
        raise ValueError(f"taubin_smooth: iterations {iterations} must be >= 0, shrink {shrink} in (0, 1) and inflate "
                         f"{inflate} at most -shrink.")
    if iterations == 0 or len(faces) == 0:
        return vertices
    edges, _ = unique_edges(faces)
    a, b = edges.unbind(1)
    degree = torch.bincount(edges.flatten(), minlength=len(vertices)).clamp(min=1)[:, None].to(vertices.dtype)
    for _ in range(iterations):
        for step in (shrink, inflate):
            start, end = vertices.index_select(0, a), vertices.index_select(0, b)
            pull = torch.zeros_like(vertices).index_add(0, a, end - start).index_add(0, b, start - end)
            vertices = vertices + step * pull / degree
    return vertices
