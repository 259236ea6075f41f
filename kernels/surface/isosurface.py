"""Iso-surface of a regular grid, by marching the six tetrahedra of each cell that the surface crosses."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import torch
import torch.nn.functional as F

from ..checks import check_shape
from .marching_tets import crossing_triangles, crossing_weight, merge_vertices

CELLS_AT_ONCE = 1 << 18


def _cell_tets() -> list[list[tuple[int, int, int]]]:
    """Kuhn's six tetrahedra of the unit cube: each walks from (0,0,0) to (1,1,1) one axis at a time.

    All cells are cut alike and every diagonal runs along +(1,1,1), so that neighbours agree on the diagonal
    of their common face: that is what makes the surface watertight.
    """
    tets = []
    for order in permutations(range(3)):
        corner, path = [0, 0, 0], [(0, 0, 0)]
        for axis in order:
            corner[axis] = 1
            path.append(tuple(corner))
        if order not in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):        # odd order: negative volume, swap two corners
            path[1], path[2] = path[2], path[1]
        tets.append(path)
    return tets


def _mixed_cells(inside: torch.Tensor) -> torch.Tensor:
    """inside [X,Y,Z] bool -> [X-1,Y-1,Z-1] bool: cells with corners on both sides."""
    every = some = inside
    for axis, size in enumerate(inside.shape):
        every = every.narrow(axis, 0, size - 1) & every.narrow(axis, 1, size - 1)
        some = some.narrow(axis, 0, size - 1) | some.narrow(axis, 1, size - 1)
    return some & ~every


def isosurface(values: torch.Tensor, level: float,
               bounds: torch.Tensor | Sequence[Sequence[float]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Surface values = level of a grid; inside is where values > level, as for a density.

    values  [X,Y,Z] samples, at least 2 along each axis
    level   threshold, same unit as values
    bounds  [2,3] positions of the first and of the last sample (samples sit on the corners of the box)

    Returns vertices [V,3] and faces [F,3] int64, counter-clockwise seen from outside. Always watertight: where
    the inside reaches the border of the grid, the surface is closed by a flat cap in the face of the box (some
    triangles along the edges of the box then have no area). Nothing above the level gives [0,3] and [0,3].
    Differentiable in values, except that the lowest and highest value, which only shift cap vertices within the
    face of the box, count as constants there. Memory O(X Y Z) for the samples plus O(cells that the surface crosses).
    Raises ShapeError naming the argument, ValueError for a grid with fewer than 2 samples along an axis.
    """
    check_shape("values", values, "X", "Y", "Z")
    bounds = torch.as_tensor(bounds, dtype=values.dtype, device=values.device)
    check_shape("bounds", bounds, 2, 3)
    if min(values.shape) < 2:
        raise ValueError(f"isosurface: values has shape {list(values.shape)}; it needs at least 2 samples along "
                         "each axis. Sample the field on a finer grid.")
    # The border layer repeats the positions of the outermost samples (see below) with a value not above any other:
    # the value never rises along the layer's normal, so the cap is a height field and flattens without folds.
    lowest = min(float(values.detach().amin()), 2 * level - float(values.detach().amax()))
    sdf = F.pad(level - values, (1,) * 6, value=level - lowest if lowest < level else 1.0)
    inside = sdf.detach() < 0
    _, sy, sz = sdf.shape
    strides = torch.tensor([sy * sz, sz, 1], device=values.device)
    corners = (torch.tensor(_cell_tets(), device=values.device) * strides).sum(2)          # [6,4]
    cells = (_mixed_cells(inside).nonzero() * strides).sum(1)
    inside = inside.flatten()
    keys = [crossing_triangles(inside, (part[:, None, None] + corners).view(-1, 4))
            for part in cells.split(CELLS_AT_ONCE)]
    edges, faces = merge_vertices(torch.cat(keys), len(inside))

    last = torch.tensor(values.shape, device=values.device) - 1
    lattice = edges[..., None] // strides % torch.tensor(sdf.shape, device=values.device) - 1
    start, end = lattice.clamp(min=0).minimum(last).to(values.dtype).unbind(1)
    weight = crossing_weight(sdf.flatten(), edges)[:, None]
    return bounds[0] + (start + weight * (end - start)) * ((bounds[1] - bounds[0]) / last), faces
