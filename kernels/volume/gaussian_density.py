"""The density of a cloud of Gaussians at points of space."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..checks import check_shape
from ..quaternion import rotation_matrices

REACH = 3.0  # standard deviations at which a Gaussian is cut off
POINTS_PER_CELL = 512
PAIRS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Density:
    """density [M]; value [M,C]: mean of the Gaussians' values, weighted by their shares of the density, 0 where there
    is none; gradient [M,3] of the density. Quantities that were not requested are None."""

    density: torch.Tensor
    value: torch.Tensor | None = None
    gradient: torch.Tensor | None = None


def extents(rotations: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    """Standard deviations along the world's axes [N,3] of Gaussians with rotations [N,4] wxyz and scales [N,3]."""
    return (rotation_matrices(rotations) * scales[:, None]).norm(dim=-1)


def extinction(scales: torch.Tensor, opacities: torch.Tensor) -> torch.Tensor:
    """Density [N], 1/length, in the middle of Gaussians of scales [N,3] and opacities [N,1]: in proportion to the
    opacity alone, so that their sum is DreamGaussian's (Tang et al. 2023) but for one factor.

    The factor makes the optical depth of a line through the middle of a Gaussian of typical size (the geometric mean
    weighted by opacity) equal to its opacity. With a factor per Gaussian, small ones would show as grains on the
    surface.
    """
    share = opacities[:, 0] / opacities.sum().clamp_min(1e-12)
    radius = (share @ scales.log().mean(-1)).exp()
    return opacities[:, 0] / (math.sqrt(2 * math.pi) * radius)


def gaussian_density(x: torch.Tensor, positions: torch.Tensor, rotations: torch.Tensor, scales: torch.Tensor,
                     weights: torch.Tensor, values: torch.Tensor | None = None, gradient: bool = False) -> Density:
    """The sum of N Gaussians with peak values `weights`, at points x.

    x          [M,3]
    positions  [N,3], rotations [N,4] wxyz, scales [N,3] > 0
    weights    [N]
    values     [N,C] to be averaged, or None

    Points are looked at in cells, each with the Gaussians within REACH of it: memory is bounded, time grows with the
    number of pairs that are near each other. Not meant for gradients. Raises ShapeError.
    """
    for name, tensor, size in (("x", x, 3), ("positions", positions, 3), ("rotations", rotations, 4),
                               ("scales", scales, 3)):
        check_shape(name, tensor, None, size)
    check_shape("weights", weights, len(positions))
    density = x.new_zeros(len(x))
    value = None if values is None else x.new_zeros(len(x), values.shape[1])
    slope = torch.zeros_like(x) if gradient else None
    turned = rotation_matrices(rotations)
    precision = (turned / scales[:, None].square()) @ turned.mT
    reach = REACH * extents(rotations, scales)
    low, high = positions - reach, positions + reach
    for part in _cells(x):
        place = x[part]
        near = ((low <= place.amax(0)) & (high >= place.amin(0))).all(1).nonzero().squeeze(1)
        # From the middle of the cell: the squares below would cancel if they were large.
        middle = 0.5 * (place.amax(0) + place.amin(0))
        pull = (precision[near] @ (positions[near] - middle)[..., None]).squeeze(-1)
        quadratic = _quadratic(precision[near], pull, positions[near] - middle)
        for some in part.split(max(1, PAIRS_AT_ONCE // max(len(near), 1))) if len(near) else ():
            local = x[some] - middle
            share = weights[near] * torch.exp(-0.5 * (_monomials(local) @ quadratic).clamp_min(0))
            density[some] = share.sum(1)
            if value is not None:
                value[some] = share @ values[near] / density[some, None].clamp_min(1e-12)
            if slope is not None:
                steep = (share @ precision[near].flatten(1)).view(-1, 3, 3)
                slope[some] = share @ pull - (steep @ local[..., None]).squeeze(-1)
    return Density(density, value, slope)


def _monomials(x: torch.Tensor) -> torch.Tensor:
    """[M,10] of x [M,3]: squares, products, x itself and 1."""
    a, b, c = x.unbind(1)
    return torch.stack([a * a, b * b, c * c, a * b, a * c, b * c, a, b, c, torch.ones_like(a)], 1)


def _quadratic(precision: torch.Tensor, pull: torch.Tensor, middle: torch.Tensor) -> torch.Tensor:
    """[10,N]: (x - middle) precision (x - middle) in the monomials of x. precision [N,3,3], pull = precision middle
    [N,3]."""
    p = precision
    return torch.stack([p[:, 0, 0], p[:, 1, 1], p[:, 2, 2], 2 * p[:, 0, 1], 2 * p[:, 0, 2], 2 * p[:, 1, 2],
                        -2 * pull[:, 0], -2 * pull[:, 1], -2 * pull[:, 2], (pull * middle).sum(1)])


def _cells(x: torch.Tensor) -> list[torch.Tensor]:
    """Indices of points [M,3], those of one cell of space together."""
    if not len(x):
        return []
    side = max(1, round((len(x) / POINTS_PER_CELL) ** (1 / 3)))
    low, high = x.amin(0), x.amax(0)
    cell = ((x - low) / (high - low).clamp_min(1e-12) * side).long().clamp(max=side - 1)
    number, order = ((cell[:, 0] * side + cell[:, 1]) * side + cell[:, 2]).sort()
    return list(order.split(torch.unique_consecutive(number, return_counts=True)[1].tolist()))
