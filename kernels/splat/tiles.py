"""Which Gaussians touch which tile of the picture, nearest first."""
from __future__ import annotations

from typing import NamedTuple

import torch


class Tiles(NamedTuple):
    """P pairs of a tile and a Gaussian; T tiles in all views.

    gaussian  [P] int64: row of the [B * N] Gaussians; the pairs of a tile are consecutive, nearest first
    offsets   [T + 1] int64: tile t, counted row by row and view by view, has pairs offsets[t] to offsets[t + 1] - 1
    place     [P] int64: where each pair stands when those of a Gaussian are consecutive, Gaussians in the order
              `ranked`
    ranked    [B * N] int64: the Gaussians, nearest first
    counts    [B * N] int64: pairs of the Gaussians, in that order
    grid      rows and columns of tiles in a view
    """

    gaussian: torch.Tensor
    offsets: torch.Tensor
    place: torch.Tensor
    ranked: torch.Tensor
    counts: torch.Tensor
    grid: tuple[int, int]


@torch.no_grad()
def tiles_of(centers: torch.Tensor, reach: torch.Tensor, depths: torch.Tensor, height: int, width: int,
             size: int) -> Tiles:
    """The Tiles of B views: centers, reach [B,N,2] pixels, reach 0 for invisible ones, depths [B,N] > 0.

    At equal depth the first Gaussian is in front. No gradient. Memory O(P).
    """
    views = len(centers)
    rows, columns = -(-height // size), -(-width // size)
    most = torch.tensor([columns, rows], device=centers.device)
    first = torch.minimum((centers - reach).div(size).floor().clamp(min=0), most).long()
    last = torch.minimum((centers + reach).div(size).floor().add(1).clamp(min=0), most).long()
    across, down = torch.where(reach > 0, last - first, 0).unbind(-1)
    begin = (torch.arange(views, device=centers.device)[:, None] * rows + first[..., 1]) * columns + first[..., 0]
    # Distances are positive, and positive numbers are in the order of their bits, which are sorted several times as
    # fast. For the same reason index_select and 32 bits below.
    bits = depths.contiguous().view(torch.int32 if depths.dtype == torch.float32 else torch.int64)
    ranked = torch.argsort(bits.flatten(), stable=True)
    begin, across, down = (one.flatten().index_select(0, ranked) for one in (begin, across, down))
    counts = across * down
    rank = torch.repeat_interleave(counts)
    step = torch.arange(len(rank), device=rank.device) - (counts.cumsum(0) - counts).index_select(0, rank)
    across = across.index_select(0, rank)
    row = (step.float() / across).long()                                     # exact below 2^24 tiles
    tile = begin.index_select(0, rank) + row * (columns - across) + step
    tile, place = torch.sort(tile.int(), stable=True)
    offsets = torch.searchsorted(tile, torch.arange(views * rows * columns + 1, device=tile.device, dtype=torch.int32))
    gaussian = ranked.index_select(0, rank.index_select(0, place))
    return Tiles(gaussian, offsets, place, ranked, counts, (rows, columns))
