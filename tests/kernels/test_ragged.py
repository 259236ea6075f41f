import pytest
import torch

from distill3d.kernels.ragged import expand


@pytest.mark.parametrize("chunk", [1, 3, 4, 100])
def test_enumerates_every_item_once_in_order(chunk):
    counts = torch.tensor([0, 3, 0, 0, 1, 7, 0])
    pieces = list(expand(counts, chunk))
    assert all(0 < len(owner) <= chunk for owner, _ in pieces)
    items = torch.cat([torch.stack(piece, 1) for piece in pieces]).tolist()
    assert items == [[row, step] for row, count in enumerate(counts.tolist()) for step in range(count)]


@pytest.mark.parametrize("counts", [[], [0, 0]])
def test_nothing_to_enumerate(counts):
    assert list(expand(torch.tensor(counts, dtype=torch.int64), 4)) == []
