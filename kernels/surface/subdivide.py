"""Local refinement of tetrahedra, without cracks at the coarse ones.

Marked tetrahedra are cut into eight at the middles of their edges. Their neighbours, some of whose edges are cut by
that, are cut into two or four, so that all faces still meet (red-green refinement: Bank, Sherman and Weiser 1983; Bey
1995).
"""
from __future__ import annotations

from functools import lru_cache
from itertools import combinations

import torch

from ..checks import check_shape
from .marching_tets import EDGES

_ALL = 63  # every edge is cut: bit i stands for EDGES[i]


def _bits(*edges: tuple[int, int]) -> int:
    return sum(1 << EDGES.index(tuple(sorted(edge))) for edge in edges)


_FACES = [_bits(*combinations(face, 2)) for face in combinations(range(4), 3)]
_OPPOSITE = [_bits((0, b), tuple({1, 2, 3} - {b})) for b in (1, 2, 3)]


def _closure() -> list[int]:
    """[64]: the smallest set of cut edges that holds the given one and that there are pieces for."""
    allowed = sorted([0, *(1 << i for i in range(6)), *_OPPOSITE, *_FACES, _ALL], key=lambda bits: bits.bit_count())
    return [next(closed for closed in allowed if closed & bits == bits) for bits in range(64)]


@lru_cache(maxsize=1)
def _pieces() -> dict[tuple[int, int], torch.Tensor]:
    """(cut edges, diagonal) -> [K,4] pieces. Nodes 0..3 are the corners, 4 + i the middle of EDGES[i].

    The octahedron in the middle of a whole tetrahedron is cut along the diagonal from the middle of edge (0, 1 +
    diagonal) to that of the opposite edge; elsewhere there is no choice and diagonal is 0.
    """
    def middle(a: int, b: int) -> int:
        return 4 + EDGES.index((min(a, b), max(a, b)))

    def halved(tet: list[int], a: int, b: int) -> list[list[int]]:
        return [[middle(a, b) if node == gone else node for node in tet] for gone in (a, b)]

    pieces: dict[tuple[int, int], list[list[int]]] = {}
    for a, b in EDGES:
        pieces[_bits((a, b)), 0] = halved([0, 1, 2, 3], a, b)
    for bits in _OPPOSITE:
        first, second = (EDGES[i] for i in range(6) if bits >> i & 1)
        pieces[bits, 0] = [part for half in halved([0, 1, 2, 3], *first) for part in halved(half, *second)]
    corners = [[corner if node == corner else middle(corner, node) for node in range(4)] for corner in range(4)]
    for bits, face in zip(_FACES, combinations(range(4), 3)):
        a, b, c = face
        apex = 6 - sum(face)
        pieces[bits, 0] = [[apex if node == apex else corners[corner][node] for node in range(4)] for corner in face]
        pieces[bits, 0].append([middle(b, c), middle(a, c), middle(a, b), apex])
    for diagonal, b in enumerate((1, 2, 3)):
        c, d = sorted({1, 2, 3} - {b})
        ring = [middle(0, c), middle(b, c), middle(b, d), middle(0, d)]
        pieces[_ALL, diagonal] = corners + [[middle(0, b), middle(c, d), ring[i], ring[i - 3]] for i in range(4)]
    return {key: _oriented(torch.tensor(value)) for key, value in pieces.items()}


def _oriented(pieces: torch.Tensor) -> torch.Tensor:
    """Pieces [K,4] with two corners exchanged where the volume was negative."""
    corners = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    nodes = torch.cat([corners, torch.stack([(corners[a] + corners[b]) / 2 for a, b in EDGES])])[pieces]
    negative = torch.linalg.det(nodes[:, 1:] - nodes[:, :1]) < 0
    pieces[negative] = pieces[negative][:, [1, 0, 2, 3]]
    return pieces


def surface_tets(inside: torch.Tensor, tets: torch.Tensor, rings: int = 0) -> torch.Tensor:
    """[T] bool: which of tets [T,4] the surface between inside and outside corners (inside [V] bool) crosses, and those
    that share a vertex with them, `rings` times over."""
    count = inside[tets].sum(1)
    marked = (count > 0) & (count < 4)
    for _ in range(rings):
        near = torch.zeros_like(inside)
        near[tets[marked].flatten()] = True
        marked = near[tets].any(1)
    return marked


def subdivide(vertices: torch.Tensor, tets: torch.Tensor, marked: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cuts the marked tetrahedra into eight, and their neighbours so that faces still meet.

    vertices  [V,3], only for choosing the shortest diagonal; exactly representable coordinates make that the same on
              every device
    tets      [T,4] int64 of positive volume, meeting face to face
    marked    [T] bool

    Returns edges [P,2] int64 and tets [T',4]: vertex V + p is the middle of edges[p], so that any quantity x [V,...] is
    interpolated as cat([x, x[edges].mean(1)]). The volume filled is the same, tetrahedra still meet face to face, and a
    function that is linear on each of the old ones is the same function on the new ones: its level sets do not move.
    Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("tets", tets, "T", 4)
    check_shape("marked", marked, len(tets))
    count, ends = len(vertices), torch.tensor(EDGES, device=tets.device)
    closure = torch.tensor(_closure(), device=tets.device)
    bit = 1 << torch.arange(6, device=tets.device)

    def keys_of(some: torch.Tensor) -> torch.Tensor:
        pair = some[:, ends]
        return pair.amin(2) * count + pair.amax(2)

    cut = torch.unique(keys_of(tets[marked]))
    while True:
        touched = torch.zeros(count, dtype=torch.bool, device=tets.device)
        touched[torch.cat([cut // count, cut % count])] = True
        near = (touched[tets].sum(1) >= 2).nonzero().squeeze(1)
        keys = keys_of(tets[near])
        place = torch.searchsorted(cut, keys).clamp(max=max(len(cut) - 1, 0))
        is_cut = cut[place] == keys if len(cut) else torch.zeros_like(keys, dtype=torch.bool)
        case = (is_cut * bit).sum(1)
        closed = closure[case]
        if torch.equal(case, closed):
            break
        cut = torch.unique(torch.cat([cut, keys[(closed[:, None] & bit) > 0]]))
    nodes = torch.cat([tets[near], count + place], 1)
    a, b, c, d = vertices[tets[near]].unbind(1)
    diagonals = torch.stack([a + b - c - d, a + c - b - d, a + d - b - c], 1).square().sum(2)
    diagonal = torch.where(case == _ALL, diagonals.argmin(1), 0)
    whole = torch.ones(len(tets), dtype=torch.bool, device=tets.device)
    whole[near[case > 0]] = False
    parts = [tets[whole]]
    for (bits, variant), pieces in _pieces().items():
        mine = nodes[(case == bits) & (diagonal == variant)]
        parts.append(mine[:, pieces.to(tets.device)].flatten(0, 1))
    return torch.stack([cut // count, cut % count], 1), torch.cat(parts)
