"""Sums over the samples of each ray, where the samples of all rays are packed in one list.

A running sum over the whole list would lose short rays to rounding, so sums run per ray: as rows if every
ray has the same number of samples, else in float64 with the ray's start subtracted if the device has
float64, else as padded rows.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch

from ..checks import ShapeError, check_shape


@dataclass(frozen=True)
class Segments:
    """Where each ray's samples lie. Built by `segments`.

    ray      [S] int64 sorted: the ray of each sample
    offsets  [R + 1] int64: ray r owns samples offsets[r] to offsets[r + 1] - 1
    width    samples per ray where known to be the same for all, otherwise None
    """

    ray: torch.Tensor
    offsets: torch.Tensor
    width: int | None

    @property
    def rays(self) -> int:
        return self.offsets.shape[0] - 1


def segments(ray: torch.Tensor, rays: int) -> Segments:
    """The Segments of a sorted `ray` [S] int64 with values in [0, rays).

    Raises ShapeError where `ray` is not 1-D or there are samples and no rays.
    """
    check_shape("ray", ray, "S")
    if rays < 1 and ray.shape[0]:
        raise ShapeError(f"ray has {ray.shape[0]} samples but rays is {rays}")
    offsets = torch.searchsorted(ray, torch.arange(rays + 1, device=ray.device, dtype=ray.dtype))
    width = None
    # On other devices the comparison would wait for the device, which costs more than it saves.
    if ray.device.type == "cpu" and rays and ray.shape[0] % rays == 0:
        candidate = ray.shape[0] // rays
        if torch.equal(offsets, torch.arange(rays + 1) * candidate):
            width = candidate
    return Segments(ray, offsets, width)


def segment_sum(values: torch.Tensor, of: Segments) -> torch.Tensor:
    """Sum of values [S] or [S, C] over each ray: [R] or [R, C]. Differentiable, to any order."""
    return _Sum.apply(values, of)


def exclusive_sum(values: torch.Tensor, of: Segments) -> torch.Tensor:
    """Sum of values [S] over the earlier samples of the same ray: [S]. Differentiable, to any order."""
    return _Exclusive.apply(values, of, False)


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values, of):
        ctx.of = of
        if of.width is not None:
            return values.reshape(of.rays, of.width, *values.shape[1:]).sum(1)
        if values.device.type in ("cpu", "cuda") and values.shape[0]:
            return torch.segment_reduce(values.contiguous(), "sum", offsets=of.offsets, axis=0)
        return values.new_zeros(of.rays, *values.shape[1:]).index_add_(0, of.ray, values)

    @staticmethod
    def backward(ctx, grad):
        return _Spread.apply(grad, ctx.of), None


class _Spread(torch.autograd.Function):
    """A value per ray to all its samples: the transpose of the sum."""

    @staticmethod
    def forward(ctx, values, of):
        ctx.of = of
        return values.index_select(0, of.ray)

    @staticmethod
    def backward(ctx, grad):
        return _Sum.apply(grad, ctx.of), None


class _Exclusive(torch.autograd.Function):
    """Sum over the earlier samples, or over the later ones: each is the other's transpose."""

    @staticmethod
    def forward(ctx, values, of, later):
        ctx.of, ctx.later = of, later
        if of.width is not None:
            return _row_sums(values.reshape(of.rays, of.width), later).reshape(-1)
        if values.device.type == "mps":
            return _padded_sums(values, of, later)
        return _offset_sums(values, of, later)

    @staticmethod
    def backward(ctx, grad):
        return _Exclusive.apply(grad, ctx.of, not ctx.later), None, None


def _row_sums(rows: torch.Tensor, later: bool) -> torch.Tensor:
    """Exclusive sums along each row of [R, M]. Shifts first: subtracting afterwards would cancel."""
    if later:
        return _row_sums(rows.flip(1), False).flip(1)
    return torch.nn.functional.pad(rows, (1, 0))[:, :-1].cumsum(1)


def _offset_sums(values: torch.Tensor, of: Segments, later: bool) -> torch.Tensor:
    total = torch.nn.functional.pad(torch.cumsum(values, 0, dtype=torch.float64), (1, 0))
    edge = total.index_select(0, of.offsets[1:] if later else of.offsets[:-1]).index_select(0, of.ray)
    return (edge - total[1:] if later else total[:-1] - edge).to(values.dtype)


def _padded_sums(values: torch.Tensor, of: Segments, later: bool) -> torch.Tensor:
    rank = torch.arange(of.ray.shape[0], device=of.ray.device) - of.offsets.index_select(0, of.ray)
    longest = int(of.offsets.diff().max()) if of.rays else 0
    rows = values.new_zeros(of.rays, longest)
    rows[of.ray, rank] = values
    return _row_sums(rows, later)[of.ray, rank]
