"""Connected components of graphs and meshes."""
from __future__ import annotations

import torch

from ..checks import check_shape
from .mesh import compact, face_areas


def connected(edges: torch.Tensor, count: int) -> torch.Tensor:
    """Component [count] int64 of each node of an undirected graph with edges [E,2] int64.

    Components are numbered 0.. in the order of their smallest node. Hook-and-jump on all edges at once
    (Shiloach and Vishkin 1982): a handful of rounds, no recursion.
    """
    check_shape("edges", edges, "E", 2)
    if edges.device.type == "mps":                       # no 64-bit scatter minimum there
        return connected(edges.cpu(), count).to(edges.device)
    root = torch.arange(count, device=edges.device)
    a, b = edges.unbind(1)
    while True:
        a, b = root[a], root[b]
        apart = a != b
        a, b = a[apart], b[apart]
        if len(a) == 0:
            break
        root.scatter_reduce_(0, torch.maximum(a, b), torch.minimum(a, b), "amin")
        while not torch.equal(above := root[root], root):
            root = above
    return torch.unique(root, return_inverse=True)[1]


def component_labels(faces: torch.Tensor, count: int) -> torch.Tensor:
    """Component [V] int64 of each of `count` vertices, joined by faces [F,3]; unused vertices are alone."""
    check_shape("faces", faces, "F", 3)
    return connected(torch.cat([faces[:, :2], faces[:, 1:]]), count)


def keep_largest(vertices: torch.Tensor, faces: torch.Tensor,
                 ratio: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Drops small components.

    vertices [V,3], faces [F,3]; ratio in [0,1]: a component stays when its area is at least ratio times that
    of the largest (1: the largest alone).

    Returns vertices and faces without unused vertices. Differentiable in vertices.
    """
    faces, kept = compact(faces[in_large_component(vertices, faces, ratio)], len(vertices))
    return vertices[kept], faces


def in_large_component(vertices: torch.Tensor, faces: torch.Tensor, ratio: float = 1.0) -> torch.Tensor:
    """Which faces `keep_largest` keeps, [F] bool."""
    if not 0 <= ratio <= 1:
        raise ValueError(f"keep_largest: ratio is {ratio}, it must lie between 0 and 1.")
    if len(faces) == 0:
        return torch.zeros(0, dtype=torch.bool, device=faces.device)
    label = component_labels(faces, len(vertices))[faces[:, 0]]
    areas = face_areas(vertices.detach(), faces)
    total = areas.new_zeros(len(vertices)).index_add(0, label, areas)
    return total[label] >= ratio * total.max()
