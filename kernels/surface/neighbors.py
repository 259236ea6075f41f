"""Distances between neighbours in a point cloud."""
from __future__ import annotations

import torch

from ..checks import check_shape

PAIRS_AT_ONCE = 1 << 24


@torch.no_grad()
def neighbor_distance(points: torch.Tensor, count: int = 3) -> torch.Tensor:
    """Root of the mean squared distance [N] from each of points [N,3] to its `count` nearest others, as the first
    standard deviation in 3D Gaussian Splatting (Kerbl et al. 2023).

    With fewer others, all of them are used; 0 for a single point. Time O(N^2). Raises ShapeError.
    """
    check_shape("points", points, "N", 3)
    count = min(count, len(points) - 1)
    if count < 1:
        return points.new_zeros(len(points))
    found = []
    for part in points.split(max(1, PAIRS_AT_ONCE // len(points))):
        # The nearest of all is the point itself.
        found.append(torch.cdist(part, points, compute_mode="donot_use_mm_for_euclid_dist").topk(
            count + 1, largest=False).values[:, 1:].square().mean(1).sqrt())
    return torch.cat(found)
