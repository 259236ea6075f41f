"""Differences of pictures."""
from __future__ import annotations

import torch

from ..checks import check_shape


def psnr(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio, dB, of pictures in [0,1].

    a, b  [B,H,W,C]

    Returns [B]; infinite for equal pictures. Differentiable where they differ. Raises ShapeError.
    """
    check_shape("a", a, "B", "H", "W", "C")
    check_shape("b", b, *a.shape)
    return -10 * (a - b).square().mean((1, 2, 3)).log10()
