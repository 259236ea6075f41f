"""Regularisers of triangle meshes: normal consistency and Laplacian smoothing.

Both are means, while score distillation is a sum over the elements of each view; hence weights such as 10,000.
"""
from __future__ import annotations

import torch

from ..checks import check_shape
from .mesh import unique_edges


def normal_consistency(normals: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Mean over edges of 1 - cosine between the normals of both ends (threestudio; Magic3D's refinement).

    normals  [V,3] unit, of the vertices
    faces    [F,3] int64

    Returns a scalar between 0 and 2; 0 without faces. Differentiable in normals, and through them in the vertices:
    every edge counts once, however many faces it has. Raises ShapeError naming the argument.
    """
    check_shape("normals", normals, "V", 3)
    edges, _ = unique_edges(faces)
    start, end = normals.index_select(0, edges[:, 0]), normals.index_select(0, edges[:, 1])
    return (1 - (start * end).sum(1)).sum() / max(len(edges), 1)


def laplacian(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Mean length of the rows of (D - A) V, the uniform graph Laplacian of the vertices (threestudio).

    vertices  [V,3]
    faces     [F,3] int64; D counts the neighbours of each vertex, A is 1 where two vertices share an edge

    Returns a scalar >= 0 in the unit of the vertices; 0 without vertices. Differentiable in vertices; a row of length 0
    has a gradient of 0. Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    edges, _ = unique_edges(faces)
    a, b = edges.unbind(1)
    apart = vertices.index_select(0, a) - vertices.index_select(0, b)
    square = torch.zeros_like(vertices).index_add(0, a, apart).index_add(0, b, -apart).square().sum(1)
    exists = square > 0
    return torch.where(exists, torch.where(exists, square, 1.0).sqrt(), 0.0).sum() / max(len(vertices), 1)
