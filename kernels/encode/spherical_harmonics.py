"""Real spherical harmonics, the smooth functions of a direction."""
from __future__ import annotations

from math import pi, sqrt

import torch

from ..checks import check_shape

MAX_DEGREE = 4


def encode_spherical_harmonics(directions: torch.Tensor, degree: int) -> torch.Tensor:
    """The (degree + 1)**2 real spherical harmonics of a direction.

    directions  [N, 3] unit vectors; they are not normalised here
    degree      largest order l, 0 to 4: 1, 4, 9, 16 or 25 numbers

    Returns [N, (degree + 1)**2], order l*l + l + m, m = -l .. l, orthonormal over the sphere. Odd m
    carry the Condon-Shortley sign, as in Gaussian splat files: l = 1 is proportional to (-y, z, -x).
    Differentiable in directions. Raises ShapeError, ValueError.
    Source: Sloan 2008, Stupid Spherical Harmonics Tricks, appendix A2.
    """
    check_shape("directions", directions, "N", 3)
    if not 0 <= degree <= MAX_DEGREE:
        raise ValueError(f"degree must be from 0 to {MAX_DEGREE}, got {degree}")
    x, y, z = directions.unbind(1)
    x2, y2, z2 = x * x, y * y, z * z
    basis = [torch.full_like(x, sqrt(1 / (4 * pi)))]
    if degree >= 1:
        c = sqrt(3 / (4 * pi))
        basis += [-c * y, c * z, -c * x]
    if degree >= 2:
        c = sqrt(15 / (4 * pi))
        basis += [c * x * y, -c * y * z, sqrt(5 / (16 * pi)) * (3 * z2 - 1), -c * x * z, c / 2 * (x2 - y2)]
    if degree >= 3:
        c1, c2, c3 = sqrt(21 / (32 * pi)), sqrt(105 / (4 * pi)), sqrt(35 / (32 * pi))
        basis += [-c3 * y * (3 * x2 - y2), c2 * x * y * z, -c1 * y * (5 * z2 - 1),
                  sqrt(7 / (16 * pi)) * z * (5 * z2 - 3),
                  -c1 * x * (5 * z2 - 1), c2 / 2 * z * (x2 - y2), -c3 * x * (x2 - 3 * y2)]
    if degree >= 4:
        c1, c2 = sqrt(45 / (32 * pi)), sqrt(45 / (64 * pi))
        c3, c4 = sqrt(315 / (32 * pi)), sqrt(315 / (256 * pi))
        basis += [4 * c4 * x * y * (x2 - y2), -c3 * y * z * (3 * x2 - y2),
                  2 * c2 * x * y * (7 * z2 - 1), -c1 * y * z * (7 * z2 - 3),
                  sqrt(9 / (256 * pi)) * (35 * z2 * z2 - 30 * z2 + 3),
                  -c1 * x * z * (7 * z2 - 3), c2 * (x2 - y2) * (7 * z2 - 1),
                  -c3 * x * z * (x2 - 3 * y2), c4 * (x2 * x2 - 6 * x2 * y2 + y2 * y2)]
    return torch.stack(basis, dim=1)
