"""Score panels: a score field in the plane, its error, and Langevin samples of it, as pictures."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .score_model import Ring, langevin_samples

SIDE, GAP, SAMPLES = 160, 6, 20_000  # pixels of a panel, between panels, and samples drawn


def grid_points(side: int, reach: float) -> Tensor:
    """[side*side,2], rows from the top (y = reach) to the bottom."""
    line = reach * ((torch.arange(side) + 0.5) / side * 2 - 1)
    y, x = torch.meshgrid(-line, line, indexing="ij")
    return torch.stack([x, y], -1).view(-1, 2)


def field_picture(score: Tensor, largest: float) -> Tensor:
    """Vectors [N,2] as colours [N,3]: the hue is the direction, white is 0, and full colour is `largest` or longer."""
    angle = torch.atan2(score[:, 1], score[:, 0])
    hue = 0.5 + 0.5 * torch.stack([torch.cos(angle - shift) for shift in (0.0, 2.0944, 4.1888)], -1)
    strength = (score.norm(dim=1, keepdim=True) / largest).clamp(max=1)
    return 1 - strength * (1 - hue)


def histogram(points: Tensor, side: int, reach: float) -> Tensor:
    """Samples [N,2] as a grey picture [side,side,3]: black is the densest cell."""
    column = ((points[:, 0] / reach + 1) / 2 * side).long()
    row = ((1 - points[:, 1] / reach) / 2 * side).long()
    inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
    count = torch.bincount(row[inside] * side + column[inside], minlength=side * side).float().view(side, side)
    return (1 - count / count.amax().clamp(min=1))[..., None].expand(-1, -1, 3)


@torch.no_grad()
def score_panels(network: Callable[[Tensor], Tensor], ring: Ring, sigma: float) -> Tensor:
    """Five panels in a row [SIDE,W,3]: the known score, the learned one, their difference times 10, samples of the
    density, and Langevin samples of the learned score.

    sigma  noise level by which the density is blurred
    """
    reach = 1.25 * (ring.radius + 2 * ring.deviation)
    points = grid_points(SIDE, reach)
    known, learned = ring.score(points, sigma), network(points)
    largest = float(known.norm(dim=1).quantile(0.8))
    fields = [field_picture(part, largest).view(SIDE, SIDE, 3) for part in (known, learned, 10 * (learned - known))]
    generator = torch.Generator().manual_seed(3)
    drawn = ring.sample(SAMPLES, generator)
    drawn = drawn + sigma * torch.randn(drawn.shape, generator=generator)
    samples = [histogram(part, SIDE // 4, reach).repeat_interleave(4, 0).repeat_interleave(4, 1)
               for part in (drawn, langevin_samples(network, SAMPLES, reach))]
    gap = torch.ones(SIDE, GAP, 3)
    return torch.cat([part for panel in fields + samples for part in (panel, gap)][:-1], 1)
