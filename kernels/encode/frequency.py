"""Sines and cosines of doubling frequency (Mildenhall et al. 2020, NeRF)."""
from __future__ import annotations

import math

import torch

from ..checks import check_shape


def encode_frequency(x: torch.Tensor, octaves: int, include_input: bool = False) -> torch.Tensor:
    """Positional encoding: sin and cos of 2**k * pi * x for k = 0 .. octaves - 1.

    x              [N, D], meant for [-1, 1]; any range works
    octaves        number of frequencies
    include_input  put x itself in front

    Returns [N, D * 2 * octaves], with D more in front where the input is included. A coordinate's
    numbers stay together, each frequency as (sin, cos), the lowest first. Differentiable in x.
    Raises ShapeError, ValueError. Source: Mildenhall et al. 2020, eq. 4.
    """
    check_shape("x", x, "N", "D")
    angle = scale_by_octaves(x, octaves) * math.pi
    waves = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)
    return torch.cat((x, waves), dim=1) if include_input else waves


def scale_by_octaves(x: torch.Tensor, octaves: int, base: float = 2.0) -> torch.Tensor:
    """x [N, D] times base**k for k = 0 .. octaves - 1. Returns [N, D, octaves].

    Raises ValueError for a negative number of octaves.
    """
    if octaves < 0:
        raise ValueError(f"octaves must not be negative, got {octaves}")
    return x[:, :, None] * torch.tensor([base**k for k in range(octaves)], dtype=x.dtype, device=x.device)
