"""A box filled with almost regular tetrahedra: the A15 lattice, tiled from one periodic cell.

Coordinates here are lattice units: the edges inside are 2, sqrt(5) or sqrt(6) long. A box of N units is a tetrahedral
grid of resolution N elsewhere (the 64 grid of nvdiffrec is this lattice, by its vertices).
"""
from __future__ import annotations

from functools import lru_cache
from itertools import combinations, product

import torch

# The eight vertices of one periodic cell.
CELL = ((0, 0, 2), (0, 1, 0), (0, 3, 0), (1, 2, 2), (3, 2, 2), (2, 0, 1), (2, 0, 3), (2, 2, 0))
PERIOD = 4
SHORTEST, LONGEST = 2.0, 6 ** 0.5  # edges, lattice units


@lru_cache(maxsize=1)
def cell_tets() -> torch.Tensor:
    """The 46 tetrahedra of one cell: [46,4,3] int64 coordinates, positive volume. Each stands for all its translations.

    In this lattice the neighbours of a vertex are those at most sqrt(6) away, and any four mutual neighbours are a
    tetrahedron of its Delaunay triangulation.
    """
    shifts = [tuple(PERIOD * s for s in shift) for shift in product((-1, 0, 1), repeat=3)]
    points = [tuple(c + s for c, s in zip(corner, shift)) for shift in shifts for corner in CELL]

    def near(a, b) -> bool:
        return sum((x - y) ** 2 for x, y in zip(a, b)) <= 6

    tets = []
    for first in CELL:
        # Counted once over all translations: from its smallest corner.
        around = [p for p in points if p > first and near(p, first)]
        tets += [(first, a, b, c) for a, b, c in combinations(around, 3) if near(a, b) and near(a, c) and near(b, c)]
    corners = torch.tensor(tets)
    negative = torch.linalg.det((corners[:, 1:] - corners[:, :1]).double()) < 0
    corners[negative] = corners[negative][:, [1, 0, 2, 3]]
    return corners


def tet_grid(counts: tuple[int, int, int], device: torch.device | str = "cpu") -> tuple[torch.Tensor, torch.Tensor]:
    """The box [0, counts] filled with tetrahedra.

    counts  lattice units along x, y and z, each even and at least 4

    Returns vertices [V,3] float32, lattice units, and tets [T,4] int64 of positive volume; V is about N^3 / 8 and T
    0.72 N^3. They fill the box exactly: the lattice's vertices one unit outside are moved onto its faces, where edges
    are as short as 1 and volumes as small as 1/3; inside volumes are 4/3 or 3/2. Deterministic. Memory about 85 N^3
    bytes. Raises ValueError for counts that are odd or too small.
    """
    if any(count < PERIOD or count % 2 for count in counts):
        raise ValueError(f"tet_grid: counts are {tuple(counts)}; each must be even and at least {PERIOD}.")
    corners = cell_tets().to(device)
    size = torch.tensor([count + 3 for count in counts], device=device)          # from -1 to count + 1
    strides = torch.stack([size[1] * size[2], size[2], torch.ones_like(size[0])])
    keys = ((corners + 1) * strides).sum(2)
    cells = [torch.arange(-1, count // PERIOD + 2, device=device) for count in counts]
    fits = [_fits(corners[:, :, axis], cells[axis] * PERIOD, counts[axis]) for axis in range(3)]
    parts = []
    for i, cell in enumerate(cells[0]):                                          # slab by slab bounds the memory
        j, k, tet = (fits[0][i] & fits[1][:, None] & fits[2][None]).nonzero().unbind(1)
        shift = PERIOD * (cell * strides[0] + cells[1][j] * strides[1] + cells[2][k] * strides[2])
        parts.append(keys[tet] + shift[:, None])
    tets = torch.cat(parts)
    used = torch.zeros(int(size.prod()), dtype=torch.bool, device=device)
    used[tets.flatten()] = True
    present = used.nonzero().squeeze(1)
    vertices = torch.stack([present // strides[0], present // strides[1] % size[1], present % size[2]], 1) - 1
    vertices = vertices.clamp(min=0).minimum(torch.tensor(counts, device=device)).float()
    return vertices, (used.cumsum(0) - 1)[tets]


def _fits(corners: torch.Tensor, shift: torch.Tensor, count: int) -> torch.Tensor:
    """Which tetrahedra [C,46] reach at most one unit out of [0, count] along one axis and do not lie in its end.

    corners [46,4], shift [C]. One axis at a time is enough: those beyond, with a corner two units outside, have none
    inside.
    """
    low, high = corners.amin(1) + shift[:, None], corners.amax(1) + shift[:, None]
    return (low >= -1) & (high <= count + 1) & (high > 0) & (low < count)


def on_box(vertices: torch.Tensor, counts: tuple[int, int, int]) -> torch.Tensor:
    """[V] bool: which vertices of `tet_grid` lie on the faces of the box."""
    return ((vertices == 0) | (vertices == torch.tensor(counts, device=vertices.device))).any(1)


def tet_edges(tets: torch.Tensor, count: int) -> torch.Tensor:
    """Undirected edges [E,2] int64, low < high, sorted, of tets [T,4] over `count` vertices."""
    keys = []
    for a, b in combinations(range(4), 2):
        keys.append(torch.unique(torch.minimum(tets[:, a], tets[:, b]) * count + torch.maximum(tets[:, a], tets[:, b])))
    keys = torch.unique(torch.cat(keys))
    return torch.stack([keys // count, keys % count], 1)


def shortest_edges(vertices: torch.Tensor, tets: torch.Tensor) -> torch.Tensor:
    """Length [V] of the shortest edge at each of vertices [V,3] in tets [T,4]; infinite for one that none uses."""
    shortest = torch.full_like(vertices[:, 0], torch.inf)
    for pair in combinations(range(4), 2):
        a, b = tets[:, pair].unbind(1)
        length = (vertices.index_select(0, a) - vertices.index_select(0, b)).norm(dim=1)
        for end in (a, b):
            shortest.scatter_reduce_(0, end, length, "amin")
    return shortest
