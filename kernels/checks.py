"""Checks of the arguments of every kernel. The message contains the name and shape of the wrong argument."""
from __future__ import annotations

import torch


class ShapeError(ValueError):
    """An argument's shape is not what the function documents."""

    __module__ = "distill3d"


def check_shape(name: str, tensor: torch.Tensor, *shape: int | str | None) -> None:
    """Raises ShapeError unless `tensor` has `shape`.

    shape  one entry per axis: an int must match, a letter ("N") or None takes any size.

    >>> check_shape("x", x, "N", 3)
    """
    wanted = "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
    if not isinstance(tensor, torch.Tensor):
        raise ShapeError(f"{name} must be a tensor {wanted}, got {type(tensor).__name__}")
    fits = tensor.ndim == len(shape) and all(
        not isinstance(size, int) or size == actual for size, actual in zip(shape, tensor.shape))
    if not fits:
        raise ShapeError(f"{name} must have shape {wanted}, got {list(tensor.shape)}")
