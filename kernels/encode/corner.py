"""Weighted sums of table rows over the eight corners of a grid cell, differentiable to any order.

The three functions are the partial derivatives of one trilinear form,

    phi(weights, table, grad) = sum over k, n, f of weights[k, n] * table[index[k, n], f] * grad[n, f],

so the derivatives of each are the other two. The corner axis comes first, [8, N], which keeps every
elementwise step contiguous.
"""
from __future__ import annotations

import torch


def gather(weights: torch.Tensor, table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """d phi / d grad: the weighted sum of the rows at the corners.

    weights [8, N], table [T, F], index [8, N] int32 or int64 in [0, T). Returns [N, F].
    Differentiable in weights and table, to any order.
    """
    return _Gather.apply(weights, table, index)


def dot(table: torch.Tensor, grad: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """d phi / d weights: each corner's row times `grad` [N, F]. Returns [8, N].

    Differentiable in table and grad, to any order.
    """
    return _Dot.apply(table, grad, index)


def scatter(weights: torch.Tensor, grad: torch.Tensor, index: torch.Tensor, rows: int) -> torch.Tensor:
    """d phi / d table: weights * grad added to the rows at the corners. Returns [rows, F].

    Differentiable in weights and grad, to any order.
    """
    return _Scatter.apply(weights, grad, index, rows)


def scatter_into(out: torch.Tensor, weights: torch.Tensor, grad: torch.Tensor, index: torch.Tensor) -> None:
    """`scatter`, added to `out` [rows, F] in place; records nothing for differentiation."""
    flat = index.reshape(-1)
    for row, value in zip(_columns(out), _columns(_aligned(grad))):
        row.index_add_(0, flat, (weights * value).reshape(-1))


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, table, index):
        ctx.save_for_backward(weights, table, index)
        out = weights.new_empty(index.shape[1], table.shape[1])
        for column, source in zip(_columns(out), _columns(_aligned(table))):
            rows = source.index_select(0, index.reshape(-1)).view(index.shape)
            column.copy_((rows * weights).sum(0))
        return out

    @staticmethod
    def backward(ctx, grad):
        weights, table, index = ctx.saved_tensors
        needs_weights, needs_table, _ = ctx.needs_input_grad
        return (dot(table, grad, index) if needs_weights else None,
                scatter(weights, grad, index, table.shape[0]) if needs_table else None, None)


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(ctx, table, grad, index):
        ctx.save_for_backward(table, grad, index)
        out = grad.new_zeros(index.shape)
        for source, value in zip(_columns(_aligned(table)), _columns(_aligned(grad))):
            rows = source.index_select(0, index.reshape(-1)).view(index.shape)
            # Re(a * conj(b)) is the dot product of the two pairs that a and b hold.
            out += (rows * value.conj().resolve_conj()).real
        return out

    @staticmethod
    def backward(ctx, grad_weights):
        table, grad, index = ctx.saved_tensors
        needs_table, needs_grad, _ = ctx.needs_input_grad
        return (scatter(grad_weights, grad, index, table.shape[0]) if needs_table else None,
                gather(grad_weights, table, index) if needs_grad else None, None)


class _Scatter(torch.autograd.Function):
    @staticmethod
    def forward(ctx, weights, grad, index, rows):
        ctx.save_for_backward(weights, grad, index)
        out = grad.new_zeros(rows, grad.shape[1])
        scatter_into(out, weights, grad, index)
        return out

    @staticmethod
    def backward(ctx, grad_table):
        weights, grad, index = ctx.saved_tensors
        needs_weights, needs_grad, _, _ = ctx.needs_input_grad
        return (dot(grad_table, grad, index) if needs_weights else None,
                gather(weights, grad_table, index) if needs_grad else None, None, None)


def _columns(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The columns of [N, F] as 1-D views, in complex pairs where that halves the memory passes."""
    pairs = (rows.shape[1] % 2 == 0 and rows.dtype in (torch.float32, torch.float64)
             and rows.device.type in ("cpu", "cuda"))
    if not pairs:
        return rows.unbind(1)
    return torch.view_as_complex(rows.view(rows.shape[0], rows.shape[1] // 2, 2)).unbind(1)


def _aligned(rows: torch.Tensor) -> torch.Tensor:
    """`rows` laid out so that pairs of columns can be viewed as complex numbers."""
    rows = rows.contiguous()
    return rows.clone() if rows.storage_offset() % 2 else rows
