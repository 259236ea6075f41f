"""A coarse grid of the occupied parts of space, to skip the rest (Mueller et al. 2022)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

import torch

from ..checks import check_shape
from .box import box_bounds

_CHUNK = 2**18  # points per call of the density function


@dataclass(frozen=True)
class OccupancyGrid:
    """Occupancy of the cells of a box. Never changed in place: updating returns a new one.

    value   [G, G, G] running maximum of density * step length per cell; axes x, y, z
    binary  [G, G, G] bool, the cell holds something
    bounds  [2, 3] corners of the box, lowest and highest
    """

    value: torch.Tensor
    binary: torch.Tensor
    bounds: torch.Tensor

    @property
    def resolution(self) -> int:
        return self.value.shape[0]


def new_occupancy(bounds: float | torch.Tensor, resolution: int = 32, device=None,
                  dtype=torch.float32) -> OccupancyGrid:
    """A new grid, in which every cell is occupied.

    bounds  radius r, for [-r, r]^3, or corners [2, 3]

    Raises ShapeError, ValueError.
    """
    if resolution < 1:
        raise ValueError(f"resolution must be at least 1, got {resolution}")
    shape = (resolution,) * 3
    return OccupancyGrid(torch.zeros(shape, device=device, dtype=dtype),
                         torch.ones(shape, device=device, dtype=torch.bool),
                         box_bounds(bounds, device, dtype).clone())


def is_occupied(grid: OccupancyGrid, points: torch.Tensor) -> torch.Tensor:
    """Whether each point [N, 3] lies in an occupied cell, [N] bool. Outside the box: False."""
    check_shape("points", points, "N", 3)
    # Axis by axis: long contiguous passes are several times quicker than [N, 3] ones.
    index, inside = 0, True
    for axis, lowest, highest in zip(points.unbind(1), *grid.bounds.to(points.dtype)):
        cell = (axis - lowest) * (grid.resolution / (highest - lowest))
        inside = (axis >= lowest) & (axis <= highest) & inside
        # The clamp keeps the far face in the last cell, and what is outside or NaN in some cell.
        index = index * grid.resolution + cell.long().clamp(0, grid.resolution - 1)
    return grid.binary.flatten()[index] & inside


def update_occupancy(grid: OccupancyGrid, density_fn: Callable[[torch.Tensor], torch.Tensor], step_length: float,
                     step: int, generator: torch.Generator, decay: float = 0.95, threshold: float = 0.01,
                     warmup: int = 256) -> OccupancyGrid:
    """Samples cells anew, each at one random position inside it, and returns the new grid.

    density_fn   points [N, 3] in the box -> density [N], 1/length; called without gradients
    step_length  length that turns density into an opacity, usually the ray marching step
    step         training step: below `warmup` every cell is sampled; afterwards a quarter of the
                 cells, drawn uniformly, and as many of the occupied ones
    generator    draws cells and positions, on its own device
    decay        factor on a cell's old value when it is sampled
    threshold    a cell is occupied where its value exceeds min(mean value, threshold)

    Cells that are not sampled keep their value. A NaN density counts as 0. Call it every
    16 steps. Not differentiable. Raises ShapeError where density_fn returns another shape.
    Source: Mueller et al. 2022, appendix E.2, with the mean as a ceiling (nerfacc).
    """
    device, cells = grid.value.device, grid.value.numel()
    with torch.no_grad():
        chosen = torch.arange(cells, device=device) if step < warmup else _choose(grid.binary, generator)
        jitter = torch.rand(chosen.shape[0], 3, generator=generator, device=generator.device,
                            dtype=grid.value.dtype).to(device)
        corner = torch.stack(torch.unravel_index(chosen, grid.value.shape), dim=1)
        lowest, highest = grid.bounds
        points = lowest + (corner + jitter) / grid.resolution * (highest - lowest)
        density = torch.cat([_evaluate(density_fn, part) for part in points.split(_CHUNK)])
        value = grid.value.flatten().clone()
        seen = (density * step_length).nan_to_num(nan=0.0).to(value.dtype)
        value[chosen] = torch.maximum(value[chosen] * decay, seen)
        binary = value > value.mean().clamp(max=threshold)
    return OccupancyGrid(value.view_as(grid.value), binary.view_as(grid.binary), grid.bounds)


def _choose(binary: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Sorted unique indices of the cells to sample."""
    cells = binary.numel()
    quarter = max(cells // 4, 1)

    def draw(high):
        return torch.randint(high, (quarter,), generator=generator, device=generator.device).to(binary.device)

    marked = torch.zeros(cells, device=binary.device, dtype=torch.bool)
    marked[draw(cells)] = True
    occupied = binary.flatten().nonzero()[:, 0]
    if occupied.shape[0] > quarter:
        occupied = occupied[draw(occupied.shape[0])]
    marked[occupied] = True
    return marked.nonzero()[:, 0]


def _evaluate(density_fn: Callable, points: torch.Tensor) -> torch.Tensor:
    density = density_fn(points)
    check_shape("density_fn(points)", density, points.shape[0])
    return density
