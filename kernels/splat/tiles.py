"""Which Gaussians touch which tile of the picture, nearest first."""
from __future__ import annotations

from typing import NamedTuple

import torch


class Tiles(NamedTuple):
    """P pairs of a tile and a Gaussian.

    gaussian  [P] int64: row of the [B * N] Gaussians; the pairs of a tile are consecutive, nearest first
    offsets   [B * rows * columns + 1] int64: tile t, counted row by row and view by view, has pairs offsets[t] to
              offsets[t + 1] - 1
    place     [P] int64: where each pair stands when those of a Gaussian are consecutive, Gaussians in the order `ranked`
    ranked    [B * N] int64: the Gaussians, nearest first
    counts    [B * N] int64: pairs of the Gaussians, in that order
    size      pixels along a tile's side; rows, columns: tiles of one view
    """

    gaussian: torch.Tensor
    offsets: torch.Tensor
    place: torch.Tensor
    ranked: torch.Tensor
    counts: torch.Tensor
    size: int
    rows: int
    columns: int


@torch.no_grad()
def tiles_of(centers: torch.Tensor, reach: torch.Tensor, depths: torch.Tensor, height: int, width: int, size: int) -> Tiles:
    """The Tiles of B views: centers, reach [B,N,2] pixels, reach 0 for what is not seen, depths [B,N].

    At equal depth the first Gaussian is in front. No gradient. Memory O(P).
    """
    views = len(centers)
    rows, columns = -(-height // size), -(-width // size)
    most = torch.tensor([columns, rows], device=centers.device)
    first = torch.minimum((centers - reach).div(size).floor().clamp(min=0), most).long()
    last = torch.minimum((centers + reach).div(size).floor().add(1).clamp(min=0), most).long()
    sides = torch.where(reach > 0, last - first, 0)
    ranked = torch.argsort(depths.flatten(), stable=True)
    sides, first = sides.flatten(0, 1)[ranked], first.flatten(0, 1)[ranked]
    counts = sides.prod(-1)
    rank = torch.repeat_interleave(counts)
    step = torch.arange(len(rank), device=rank.device) - (counts.cumsum(0) - counts)[rank]
    gaussian, across = ranked[rank], sides[rank, 0]
    row, column = first[rank, 1] + step // across, first[rank, 0] + step % across
    tile = (gaussian // max(centers.shape[1], 1) * rows + row) * columns + column
    tile, place = torch.sort(tile, stable=True)
    offsets = torch.searchsorted(tile, torch.arange(views * rows * columns + 1, device=tile.device))
    return Tiles(gaussian[place], offsets, place, ranked, counts, size, rows, columns)
