"""Properties of triangle meshes: normals, areas, edges, closedness, volume."""
from __future__ import annotations

import torch

from ..checks import check_shape


def _corners(vertices: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, ...]:
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, "F", 3)
    return vertices.index_select(0, faces.flatten()).view(-1, 3, 3).unbind(1)


def _unit(vector: torch.Tensor) -> torch.Tensor:
    """vector [N,3] at length 1; where it vanishes 0, with a gradient of 0 instead of an infinite one."""
    # Crosses of small triangles are so short that the backward pass of rsqrt overflows: the largest entry is made 1
    # first.
    size = vector.detach().abs().amax(-1, keepdim=True)
    exists = size > torch.finfo(vector.dtype).tiny ** 0.5
    vector = vector / torch.where(exists, size, 1.0)
    square = vector.square().sum(-1, keepdim=True)
    return torch.where(exists, vector * torch.where(exists, square, 1.0).rsqrt(), 0.0)


def face_cross(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Normals of counter-clockwise faces times twice the area: [F,3]. Differentiable in vertices."""
    a, b, c = _corners(vertices, faces)
    return torch.linalg.cross(b - a, c - a)


def face_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Unit normals [F,3] of vertices [V,3], faces [F,3]; 0 for a face without area. Differentiable in vertices."""
    return _unit(face_cross(vertices, faces))


def face_areas(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Areas [F] of vertices [V,3], faces [F,3]. Not meant for gradients: use `face_cross`."""
    return face_cross(vertices, faces).norm(dim=1) / 2


def vertex_normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Unit normals [V,3]: the area-weighted mean over the faces around each vertex.

    vertices [V,3], faces [F,3] int64. 0 for a vertex without faces or whose faces cancel.
    Differentiable in vertices.
    """
    cross = face_cross(vertices, faces)
    total = torch.zeros_like(vertices).index_add(0, faces.flatten(), cross.repeat_interleave(3, 0))
    return _unit(total)


def signed_volume(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Enclosed volume (scalar) of a closed mesh: positive when the faces look outward. Differentiable."""
    a, b, c = _corners(vertices, faces)
    return (a * torch.linalg.cross(b, c)).sum() / 6


def unique_edges(faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Undirected edges of faces [F,3].

    Returns edges [E,2] int64 with low < high, sorted, and face_edges [F,3]: the edges of each face in the
    order (v0,v1), (v1,v2), (v2,v0).
    """
    check_shape("faces", faces, "F", 3)
    if len(faces) == 0:
        return faces.new_zeros(0, 2), faces.new_zeros(0, 3)
    following = faces.roll(-1, 1)
    count = int(faces.max()) + 1
    keys, face_edges = torch.unique(torch.minimum(faces, following) * count + torch.maximum(faces, following),
                                    return_inverse=True)
    return torch.stack([keys // count, keys % count], 1), face_edges


def is_watertight(faces: torch.Tensor) -> bool:
    """Whether faces [F,3] close a consistently oriented surface: each edge twice, in opposite directions.

    An empty mesh is not watertight, nor is one with a face that repeats a vertex.
    """
    check_shape("faces", faces, "F", 3)
    following = faces.roll(-1, 1)
    if len(faces) == 0 or bool((faces == following).any()):
        return False
    count = int(faces.max()) + 1
    forward = (faces * count + following).flatten().sort().values
    backward = (following * count + faces).flatten().sort().values
    return bool((forward == backward).all()) and bool((forward[1:] != forward[:-1]).all())


def non_manifold_edges(faces: torch.Tensor) -> int:
    """Number of edges of faces [F,3] that have more than two faces."""
    edges, face_edges = unique_edges(faces)
    return int((torch.bincount(face_edges.flatten(), minlength=len(edges)) > 2).sum())


def compact(faces: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Renumbers faces [F,3] over `count` vertices so that no vertex is unused.

    Returns faces [F,3] and kept [K] int64: the old index of each new vertex, for `attribute[kept]`.
    """
    used = torch.zeros(count, dtype=torch.bool, device=faces.device)
    used[faces.flatten()] = True
    return (used.cumsum(0) - 1)[faces], used.nonzero().squeeze(1)
