"""Marching tetrahedra: the zero level of a signed distance sampled at the corners of tetrahedra.

Doi and Koide 1991; differentiable as in DMTet (Shen et al. 2021, section 3.1.2).
"""
from __future__ import annotations

from typing import Callable

import torch

from ..checks import check_shape
from .mesh import vertex_normals

ROUNDS = 8  # of halving: the crossing is known to 1/512 of the edge

# The six edges of a tetrahedron as pairs of its corners 0..3.
EDGES = ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3))


def _triangle_table() -> list[list[list[int]]]:
    """[16][2][3]: for each set of inside corners (bit i = corner i) up to two triangles of EDGES, -1 = none.

    Derived, not typed in: on a positively oriented tetrahedron (a, b, c, d) with only a inside, the triangle
    ab, ac, ad faces away from a; with a and b inside the quad ac, ad, bd, bc faces away from both.
    """
    def edge(a: int, b: int) -> int:
        return EDGES.index((min(a, b), max(a, b)))

    table = [[[-1, -1, -1], [-1, -1, -1]] for _ in range(16)]
    # Even permutations keep the orientation: every corner once as a, every pair once as (a, b).
    for a, b, c, d in ((0, 1, 2, 3), (1, 0, 3, 2), (2, 3, 0, 1), (3, 2, 1, 0)):
        table[1 << a][0] = [edge(a, b), edge(a, c), edge(a, d)]
        table[15 - (1 << a)][0] = [edge(a, b), edge(a, d), edge(a, c)]
    for a, b, c, d in ((0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 2, 0), (2, 3, 0, 1)):
        table[(1 << a) | (1 << b)] = [[edge(a, c), edge(a, d), edge(b, d)],
                                      [edge(a, c), edge(b, d), edge(b, c)]]
    return table


TRIANGLES = _triangle_table()


def crossing_triangles(inside: torch.Tensor, tets: torch.Tensor) -> torch.Tensor:
    """Triangles between inside and outside corners, their vertices named by the lattice edge that they lie on.

    inside  [V] bool
    tets    [T,4] int64, positive volume

    Returns keys [F,3] int64: low * V + high, where low < high are the ends of the crossed edge. Keys of
    separate calls on parts of one lattice agree, so that a large lattice can be marched in pieces.
    """
    corner = inside.index_select(0, tets.flatten()).view(-1, 4)
    crossed = (corner != corner[:, :1]).any(1).nonzero().squeeze(1)
    tets, case = tets[crossed], (corner[crossed] * torch.tensor([1, 2, 4, 8], device=tets.device)).sum(1)
    table = torch.tensor(TRIANGLES, device=tets.device)
    second = (table[case, 1, 0] >= 0).nonzero().squeeze(1)
    owner = torch.cat([torch.arange(len(tets), device=tets.device), second])
    edges = torch.cat([table[case, 0], table[case[second], 1]])
    ends = torch.tensor(EDGES, device=tets.device)[edges]                     # [F,3,2] corners 0..3
    ends = tets[owner].gather(1, ends.flatten(1)).view(-1, 3, 2)
    return ends.amin(2) * len(inside) + ends.amax(2)


def merge_vertices(keys: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Keys of `crossing_triangles` [F,3] over `count` lattice vertices -> crossed edges [P,2], faces [F,3]."""
    unique, faces = torch.unique(keys, return_inverse=True)
    return torch.stack([unique // count, unique % count], 1), faces.view(-1, 3)


def crossing_weight(sdf: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
    """Where the linear interpolant of sdf [V] vanishes on edges [P,2]: [P] in [0,1], 0 at the first end."""
    start, end = sdf.index_select(0, edges[:, 0]), sdf.index_select(0, edges[:, 1])
    return start / (start - end)          # the signs differ, so the difference cannot vanish


def marching_tets(vertices: torch.Tensor, sdf: torch.Tensor,
                  tets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Surface sdf = 0 of a tetrahedral lattice as a triangle mesh.

    vertices  [V,3]
    sdf       [V] signed distance or any field that is negative inside; exactly 0 counts as outside
    tets      [T,4] int64 corners, det(v1 - v0, v2 - v0, v3 - v0) > 0

    Returns positions [P,3] and faces [F,3] int64, counter-clockwise seen from outside. Each crossed lattice
    edge gives one vertex that all faces around it share, in the order of the edges; the mesh is watertight
    wherever the surface does not leave the lattice. No crossing gives [0,3] and [0,3].
    Differentiable in vertices and sdf; the choice of faces is piecewise constant. Memory O(T).
    Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("sdf", sdf, len(vertices))
    check_shape("tets", tets, "T", 4)
    edges, faces = merge_vertices(crossing_triangles(sdf.detach() < 0, tets), len(vertices))
    start, end = vertices.index_select(0, edges[:, 0]), vertices.index_select(0, edges[:, 1])
    return start + crossing_weight(sdf, edges)[:, None] * (end - start), faces


def surface_distance(vertices: torch.Tensor, tets: torch.Tensor, inside: torch.Tensor,
                     is_inside: Callable[[torch.Tensor], torch.Tensor], far: float) -> torch.Tensor:
    """A signed distance at the corners of tetrahedra, from an inside test alone.

    vertices   [V,3]
    tets       [T,4] int64
    inside     [V] bool: the corners that are to be inside. Where it contradicts is_inside, as in a filled cavity, no
               tetrahedron may have corners of both sides
    is_inside  points [N,3] -> [N] bool, called ROUNDS times for each edge that the surface crosses
    far        > 0: the distance given to corners whose edges the surface does not cross

    Returns [V]: the mean distance to the planes through the places where the surface crosses the edges at the corner,
    at the normals that it has there. Exact for a flat surface. Not meant for gradients.
    Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("tets", tets, "T", 4)
    check_shape("inside", inside, len(vertices))
    edges, faces = merge_vertices(crossing_triangles(inside, tets), len(vertices))
    swap = ~inside[edges[:, 0]]
    within, without = edges[:, 0].where(~swap, edges[:, 1]), edges[:, 1].where(~swap, edges[:, 0])
    near, beyond = vertices[within], vertices[without]
    for _ in range(ROUNDS):
        middle = (near + beyond) / 2
        found = is_inside(middle)[:, None]
        near, beyond = middle.where(found, near), beyond.where(found, middle)
    crossing = (near + beyond) / 2
    normal = vertex_normals(crossing, faces)
    total, count = torch.zeros_like(vertices[:, 0]), torch.zeros_like(vertices[:, 0])
    for corner, side in ((within, -1.0), (without, 1.0)):
        along = side * (normal * (vertices[corner] - crossing)).sum(1)
        total, count = total.index_add(0, corner, along), count.index_add(0, corner, torch.ones_like(along))
    distance = torch.where(count > 0, (total / count.clamp(min=1)).clamp(min=far / 1000), far)
    return distance * torch.where(inside, -1.0, 1.0)
