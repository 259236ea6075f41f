"""Multiresolution hash encoding (Mueller et al. 2022, Instant Neural Graphics Primitives)."""
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Callable

import torch

from .. import backend, warp_runtime
from ..checks import ShapeError, check_shape
from . import corner

PRIMES = (1, 2654435761, 805459861)  # Mueller et al. 2022, eq. 4


@dataclass(frozen=True)
class HashGrid:
    """Layout of a multiresolution grid: how many levels, how fine, where each lies in the table.

    levels    L, number of grids
    features  F, numbers per vertex
    log2_size a level holds at most 2**log2_size vertices; finer levels share them by hashing
    base      vertices per axis of the coarsest level
    growth    ratio of one level's cells per axis to those of the level before

    The defaults reach 4096 vertices per axis and 12,599,920 numbers. Immutable.
    """

    levels: int = 16
    features: int = 2
    log2_size: int = 19
    base: int = 16
    growth: float = 1.4472692374

    def __post_init__(self):
        if self.levels < 1 or self.features < 1 or self.base < 2 or self.growth < 1:
            raise ValueError(f"{self}: levels and features must be at least 1, base 2, growth 1.0")
        if not 3 <= self.log2_size <= 30:
            raise ValueError(f"{self}: log2_size must be from 3 to 30")

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Cells per unit length of each level, base * growth**l - 1: vertex k lies at k / scale."""
        return tuple(self.base * self.growth**level - 1 for level in range(self.levels))

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Vertices per axis of each level, enough to cover [0, 1]."""
        return tuple(math.ceil(scale) + 1 for scale in self.scales)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each level: all its vertices rounded up to a multiple of 8, or 2**log2_size."""
        return tuple(min((n**3 + 7) // 8 * 8, 2**self.log2_size) for n in self.resolutions)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First row of each level, L + 1 numbers: the last is the total."""
        return tuple(sum(self.sizes[:level]) for level in range(self.levels + 1))

    @property
    def entries(self) -> int:
        """Rows T of the whole table [T, F]."""
        return self.offsets[-1]

    @property
    def channels(self) -> int:
        """Width L * F of the encoding."""
        return self.levels * self.features

    def is_dense(self, level: int) -> bool:
        """Every vertex of the level has a row of its own."""
        return self.resolutions[level]**3 <= self.sizes[level]


def encode_hash_grid(x: torch.Tensor, table: torch.Tensor, layout: HashGrid,
                     active_levels: float | None = None) -> torch.Tensor:
    """Features of points, trilinearly interpolated in every level of a hash grid.

    x              [N, 3] in [0, 1]; a coordinate outside is clamped and gets no gradient there
    table          [T, F], T = layout.entries, of x's dtype, or float16: half the memory, the sums still in x's
    active_levels  coarse-to-fine: level l is multiplied by clamp(active_levels - l, 0, 1), so an
                   integer switches whole levels and a fraction fades one in; None means all.
                   A level at zero costs nothing and its rows get a zero gradient.

    Returns [N, L * F], coarsest level first. Differentiable in x and table, to any order (normals
    from d/dx can be trained on). Vertices lie at k / scale, without tiny-cuda-nn's shift by half a
    cell, so that no corner leaves the grid; sizes are those of tiny-cuda-nn. Memory O(N) beyond
    inputs and output for first derivatives; O(N * L) more where a graph is created.
    Where torch.use_deterministic_algorithms is on, or on the CPU, the same inputs give the same bits.
    Raises ShapeError or TypeError naming the argument. Backends: torch, warp (float32 points, even F; also the table
    gradients of normals; other second and higher derivatives use the reference).
    Source: Mueller et al. 2022, section 3 and eqs. 2-4.
    """
    check_shape("x", x, "N", 3)
    check_shape("table", table, "T", layout.features)
    if table.shape[0] != layout.entries:
        raise ShapeError(f"table must have {layout.entries} rows for {layout}, got {table.shape[0]}")
    if not x.is_floating_point() or table.dtype not in (x.dtype, torch.float16):
        raise TypeError(f"table must have the floating dtype of x or float16, got {x.dtype} and {table.dtype}")
    run = backend.implementation("encode_hash_grid", x.device, x.dtype)
    return run(x, table, layout, _level_weights(layout, active_levels))


def _level_weights(layout: HashGrid, active_levels: float | None) -> tuple[float, ...]:
    active = layout.levels if active_levels is None else float(active_levels)
    return tuple(min(max(active - level, 0.0), 1.0) for level in range(layout.levels))


@dataclass(frozen=True)
class Sums:
    """The three operations of a backend: the value, and its gradients to x and to the table.

    interpolate       (x, table, layout, level_weights) -> [N, L * F]; records nothing
    towards_position  (x, table, grad, layout, level_weights) -> [N, 3]
    towards_table     (x, grad, layout, level_weights) -> [T, F], of grad's dtype

    The last two are differentiable where gradients are recorded.
    """

    interpolate: Callable[..., torch.Tensor]
    towards_position: Callable[..., torch.Tensor]
    towards_table: Callable[..., torch.Tensor]

    def __call__(self, x: torch.Tensor, table: torch.Tensor, layout: HashGrid, level_weights) -> torch.Tensor:
        """One graph node leads to x and another to the table, so that a pass that needs only one gradient (as normals
        do) never computes the other."""
        with torch.no_grad():
            value = self.interpolate(x, table, layout, level_weights)
        if not torch.is_grad_enabled():
            return value
        if not x.requires_grad:
            return _TowardsTable.apply(table, (x, value), layout, level_weights, self) if table.requires_grad else value
        leading = _TowardsPosition.apply(x, (table,), value, layout, level_weights, self)
        if not table.requires_grad:
            return leading
        zeros = x.new_zeros(()).expand(value.shape)
        return leading + _TowardsTable.apply(table, (x, zeros), layout, level_weights, self)


class _TowardsPosition(torch.autograd.Function):
    """Returns `value`; backward is d/dx. The table is passed in a tuple, so that autograd does not track it.

    Both nodes recompute the corners in backward: keeping them would take 64 L bytes per point.
    """

    @staticmethod
    def forward(ctx, x, hidden, value, layout, level_weights, sums):
        ctx.save_for_backward(x, *hidden)
        ctx.layout, ctx.level_weights, ctx.sums = layout, level_weights, sums
        return value.view_as(value)

    @staticmethod
    def backward(ctx, grad):
        x, table = ctx.saved_tensors
        return ctx.sums.towards_position(x, table, grad, ctx.layout, ctx.level_weights), None, None, None, None, None


class _TowardsTable(torch.autograd.Function):
    """Returns a value; backward is d/dtable. The points and the value are passed in a tuple, untracked by autograd."""

    @staticmethod
    def forward(ctx, table, hidden, layout, level_weights, sums):
        x, value = hidden
        ctx.save_for_backward(x)
        ctx.layout, ctx.level_weights, ctx.sums, ctx.dtype = layout, level_weights, sums, table.dtype
        return value

    @staticmethod
    def backward(ctx, grad):
        x, = ctx.saved_tensors
        return ctx.sums.towards_table(x, grad, ctx.layout, ctx.level_weights).to(ctx.dtype), None, None, None, None


def interpolate(x, table, layout, level_weights):
    """The reference's `Sums.interpolate`."""
    out = x.new_zeros(x.shape[0], layout.levels, layout.features)
    position = x.t().contiguous()
    for level, weight in enumerate(level_weights):
        if weight:
            index, fraction = _locate(position, layout, level)
            rows = table[layout.offsets[level]:layout.offsets[level + 1]].to(x.dtype)
            out[:, level] = corner.gather(_corner_weights(fraction), rows, index) * weight
    return out.view(x.shape[0], layout.channels)


def towards_position(x, table, grad, layout, level_weights):
    """The reference's `Sums.towards_position`."""
    position, total = x.t().contiguous(), torch.zeros_like(x).t()
    # Splitting once, not slicing per level, makes the second backward one pass over the table.
    levels = zip(level_weights, table.to(x.dtype).split(layout.sizes), _by_level(grad, layout))
    for level, (weight, rows, level_grad) in enumerate(levels):
        if weight:
            index, fraction = _locate(position, layout, level)
            values = corner.dot(rows, level_grad * (weight * layout.scales[level]), index)
            total = total + _contract(values, fraction)
    return total.t() * ((x >= 0) & (x <= 1))


def towards_table(x, grad, layout, level_weights):
    """The reference's `Sums.towards_table`."""
    position, parts = x.t().contiguous(), []
    # In place where nothing is recorded: the table is large, and joining parts copies it.
    recorded = torch.is_grad_enabled()
    whole = None if recorded else grad.new_zeros(layout.entries, layout.features)
    for level, (weight, level_grad) in enumerate(zip(level_weights, _by_level(grad, layout))):
        size = layout.sizes[level]
        if not weight:
            parts.append(grad.new_zeros(size, layout.features) if recorded else None)
            continue
        index, fraction = _locate(position, layout, level)
        weights, level_grad = _corner_weights(fraction), level_grad * weight
        if recorded:
            parts.append(corner.scatter(weights, level_grad, index, size))
        else:
            corner.scatter_into(whole.narrow(0, layout.offsets[level], size), weights, level_grad, index)
    return torch.cat(parts) if recorded else whole


def _by_level(grad: torch.Tensor, layout: HashGrid) -> tuple[torch.Tensor, ...]:
    return grad.reshape(grad.shape[0], layout.levels, layout.features).unbind(1)


def _locate(position: torch.Tensor, layout: HashGrid, level: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows [8, N] of the cell corners of position [3, N], and where in the cell, [3, N] in [0, 1]."""
    resolution, size = layout.resolutions[level], layout.sizes[level]
    scaled = position.clamp(0, 1) * layout.scales[level]
    # int32 is quicker wherever it cannot overflow. The second clamp holds x = 1 inside the last
    # cell and turns the arbitrary integer that NaN becomes into a legal row.
    integer = torch.int32 if resolution * size < 2**31 else torch.int64
    cell = scaled.detach().to(integer).clamp(0, resolution - 2)
    if layout.is_dense(level):
        low = torch.stack((cell[0], cell[1] * resolution, cell[2] * resolution**2))
        high = torch.stack((low[0] + 1, low[1] + resolution, low[2] + resolution**2))
        (x0, x1), (y0, y1), (z0, z1) = zip(low, high)
        index = _outer((x0, x1), (y0, y1), (z0, z1), torch.add)
    else:
        # Only the low bits survive, so the primes may be reduced before multiplying.
        steps = [prime % size for prime in PRIMES]
        axes = [(cell[axis] * step, (cell[axis] + 1) * step) for axis, step in enumerate(steps)]
        index = _outer(*axes, torch.bitwise_xor).bitwise_and_(size - 1)
    return index, scaled - cell


def _corner_weights(fraction: torch.Tensor) -> torch.Tensor:
    """Trilinear weights [8, N] of fraction [3, N]; corner 4 i + 2 j + k is (i, j, k)."""
    return _outer(*((1 - axis, axis) for axis in fraction), torch.mul)


def _outer(x_pair, y_pair, z_pair, combine) -> torch.Tensor:
    """combine over every choice of one member of each pair of [N] tensors, [8, N], z fastest."""
    x, y, z = torch.stack(x_pair), torch.stack(y_pair), torch.stack(z_pair)
    return combine(combine(x[:, None], y[None])[:, :, None], z[None, None]).reshape(8, -1)


def _contract(values: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """sum over corners of values [8, N] * d weight / d fraction. Returns [3, N]."""
    x, y, z = fraction
    (v000, v001, v010, v011), (v100, v101, v110, v111) = values.view(2, 4, -1)
    lerp = torch.lerp
    along_x = lerp(lerp(v100 - v000, v110 - v010, y), lerp(v101 - v001, v111 - v011, y), z)
    along_y = lerp(lerp(v010 - v000, v110 - v100, x), lerp(v011 - v001, v111 - v101, x), z)
    along_z = lerp(lerp(v001 - v000, v101 - v100, x), lerp(v011 - v010, v111 - v110, x), y)
    return torch.stack((along_x, along_y, along_z))


def _by_warp(x, table, layout, level_weights):
    if layout.features % 2:  # the kernels take features in pairs
        return REFERENCE(x, table, layout, level_weights)
    from .hash_grid_warp import SUMS

    return SUMS(x, table, layout, level_weights)


def _self_test(device: torch.device) -> None:
    """Raises unless Warp's value and gradients equal those of the reference on a few points."""
    layout = HashGrid(levels=3, features=2, log2_size=6, base=3, growth=1.7)
    found = []
    for run in REFERENCE, _by_warp:
        x = (torch.arange(60, device=device).view(20, 3) * 0.7548776662 % 1).requires_grad_()
        table = torch.arange(2.0 * layout.entries, device=device).sin().view(-1, 2).requires_grad_()
        value = run(x, table, layout, (1.0, 1.0, 0.5))
        found.append((value, *torch.autograd.grad(value.square().sum(), (x, table))))
    for name, wanted, got in zip(("the value", "the gradient to x", "the gradient to the table"), *found):
        backend.expect_close(name, got, wanted)


REFERENCE = Sums(interpolate, towards_position, towards_table)
backend.register("encode_hash_grid", backend.REFERENCE, REFERENCE)
backend.register("encode_hash_grid", "warp", _by_warp, warp_runtime.unusable, _self_test)
