"""Positional encoding of a volume of space instead of a point (Barron et al. 2021, mip-NeRF)."""
from __future__ import annotations

import torch

from ..checks import check_shape
from .frequency import scale_by_octaves


def encode_integrated(mean: torch.Tensor, covariance: torch.Tensor, octaves: int) -> torch.Tensor:
    """Expected positional encoding under a Gaussian: frequencies finer than it fade out.

    mean        [N, D]
    covariance  [N, D] diagonal of the covariance, >= 0
    octaves     number of frequencies, 2**k without pi, as in the paper

    Returns [N, D * 2 * octaves]. A coordinate's numbers stay together, each frequency as
    (sin, cos), the lowest first. Differentiable in both. Raises ShapeError, ValueError.
    Source: Barron et al. 2021, eqs. 13-14.
    """
    check_shape("mean", mean, "N", "D")
    check_shape("covariance", covariance, *mean.shape)
    angle = scale_by_octaves(mean, octaves)
    fade = torch.exp(-0.5 * scale_by_octaves(covariance, octaves, base=4.0))
    return torch.stack((angle.sin() * fade, angle.cos() * fade), dim=-1).flatten(1)


def cylinder_gaussian(origins: torch.Tensor, directions: torch.Tensor, t0: torch.Tensor, t1: torch.Tensor,
                      radius: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and diagonal covariance [N, 3] of a piece of the cylinder that a pixel of an orthographic camera sees.

    directions [N, 3] are unit; radius [N] of the cylinder. Otherwise as `frustum_gaussian`. Differentiable in
    everything.
    """
    along = directions**2
    half = (t1 - t0) / 2
    covariance = (half**2 / 3)[:, None] * along + (radius**2 / 4)[:, None] * (1 - along)
    return origins + ((t0 + t1) / 2)[:, None] * directions, covariance


def frustum_gaussian(origins: torch.Tensor, directions: torch.Tensor, t0: torch.Tensor, t1: torch.Tensor,
                     radius: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and diagonal covariance of a piece of the cone that a pixel sees.

    origins     [N, 3] apex of the cone
    directions  [N, 3] axis, not zero, of any length; t counts in that length
    t0, t1      [N] where the piece begins and ends, 0 <= t0 <= t1
    radius      [N] or number: radius of the cone at t = 1 (2 / sqrt(12) of a pixel's width there)

    Returns mean [N, 3] and covariance [N, 3], the diagonal only. Written in the middle and half
    width of the interval, so that thin pieces do not cancel. Differentiable in everything.
    Raises ShapeError. Source: Barron et al. 2021, eqs. 7, 8 and 16.
    """
    check_shape("origins", origins, "N", 3)
    check_shape("directions", directions, *origins.shape)
    check_shape("t0", t0, origins.shape[0])
    check_shape("t1", t1, origins.shape[0])
    if isinstance(radius, torch.Tensor) and radius.ndim:
        check_shape("radius", radius, origins.shape[0])
    middle, half = (t0 + t1) / 2, (t1 - t0) / 2
    middle2, half2 = middle**2, half**2
    # The ratios below lie in [0, 1]; at an empty piece on the apex they are 0 / 0 and any value does.
    norm = (3 * middle2 + half2).clamp_min(torch.finfo(t0.dtype).tiny)
    ratio = half2 / norm
    t_mean = middle + 2 * middle * ratio
    t_variance = half2 / 3 - (4 / 15) * ratio**2 * (12 * middle2 - half2)
    radial_variance = radius**2 * (middle2 / 4 + (5 / 12) * half2 - (4 / 15) * half2 * ratio)
    along = directions**2
    across = 1 - along / along.sum(1, keepdim=True)
    mean = origins + t_mean[:, None] * directions
    return mean, t_variance[:, None] * along + radial_variance[:, None] * across
