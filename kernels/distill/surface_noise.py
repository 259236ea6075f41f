"""Noise that lies on a surface and looks the same from every view (consistent flow distillation, Yan et al. 2024).

Space is divided into cubes, each with its own standard normal number from a hash. A pixel of noise is the sum of the
numbers of the cubes that it sees, divided by the square root of the sum of squared counts: its variance is exactly 1,
and two views that see the same cubes see the same noise.
"""
from __future__ import annotations

import math

import torch
from torch import Tensor

from ..checks import check_shape
from ..counter_random import normal

BITS = 10  # of a cube's index along each axis: the pattern repeats after 1024 cubes


def cube_size(footprint: float) -> float:
    """The power of two in (footprint / 8, footprint / 4], for pixels that cover `footprint` on the surface. Views from
    similar distances get the same."""
    return 2.0 ** math.floor(math.log2(footprint / 4))


def surface_noise(points: Tensor, size: float, key: int, channels: int) -> Tensor:
    """The noise of one view: [C,h,w], mean 0 and variance 1 over keys.

    points  [h,w,K,3] K points of the surface that each pixel sees, world units
    size    of the cubes
    key     64 bits: the pattern

    Not differentiable. Pixels of which each sees cubes of its own are independent; a cube on a border belongs to both.
    Raises ShapeError. Memory O(h w K^2).
    """
    check_shape("points", points, "h", "w", "K", 3)
    h, w, count, _ = points.shape
    cell = torch.floor(points.detach() / size).long() & ((1 << BITS) - 1)
    counter = cell[..., 0] | cell[..., 1] << BITS | cell[..., 2] << 2 * BITS
    squares = (counter[..., :, None] == counter[..., None, :]).sum((-1, -2))  # sum over cubes of their counts squared
    level = int(round(math.log2(size))) & 0xFF
    numbers = normal((key + level * 0x9E3779B97F4A7C15) & (2**64 - 1), counter.reshape(-1), channels)
    total = numbers.view(h, w, count, channels).sum(2)
    return (total / squares.to(total)[..., None].sqrt()).permute(2, 0, 1)


def renewed(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Between two independent noises, at constant variance: cos(a) first + sin(a) second, a = share * pi / 2."""
    angle = share * math.pi / 2
    return math.cos(angle) * first + math.sin(angle) * second


def over_background(noise: Tensor, background: Tensor, opacity: Tensor) -> Tensor:
    """Noise [B,C,h,w] where the object is and another beside it, at constant variance; opacity [B,1,h,w] in [0,1]."""
    return opacity.sqrt() * noise + (1 - opacity).clamp_min(0).sqrt() * background
