"""Fourier features of random directions and frequencies (Tancik et al. 2020)."""
from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import check_shape


def encode_gaussian(x: Tensor, frequencies: Tensor) -> Tensor:
    """cos and sin of 2 pi x B: [N, 2 M], all cosines first (Tancik et al. 2020, eq. 5).

    x            [N, D]
    frequencies  [D, M] B, drawn from a normal distribution whose deviation is the bandwidth, waves per unit of x

    Differentiable in x. Raises ShapeError.
    """
    check_shape("x", x, "N", "D")
    check_shape("frequencies", frequencies, x.shape[1], "M")
    angle = 2 * math.pi * (x @ frequencies)
    return torch.cat([angle.cos(), angle.sin()], 1)
