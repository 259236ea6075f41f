"""Rows of unequal length, flattened into pieces of bounded size."""
from __future__ import annotations

from collections.abc import Iterator

import torch


def expand(counts: torch.Tensor, chunk: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Enumerates the items of rows of lengths counts [K] int64 in pieces of at most `chunk`.

    Yields (owner, step), both [n] int64: row k appears counts[k] times, with steps 0 .. counts[k] - 1, in order.
    A row longer than a chunk is cut. No gradient.
    """
    ends = counts.cumsum(0)
    begins = ends - counts
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, chunk):
        stop = min(start + chunk, total)
        edges = torch.tensor([start, stop - 1], device=counts.device)
        first, last = torch.searchsorted(ends, edges, right=True).tolist()
        parts = ends[first:last + 1].clamp(max=stop) - begins[first:last + 1].clamp(min=start)
        owner = first + torch.repeat_interleave(parts, output_size=stop - start)
        yield owner, torch.arange(start, stop, device=counts.device) - begins[owner]
