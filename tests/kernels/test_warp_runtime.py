"""Distribution of work over threads; the results are tested beside each kernel."""
import pytest
import torch

from distill3d.kernels.warp_runtime import TOO_SMALL, in_parallel


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_pieces_cover_all_items_once_and_record_nothing(monkeypatch, threads):
    monkeypatch.setattr("distill3d.kernels.warp_runtime.torch.get_num_threads", lambda: threads)
    pieces = []

    def work(first, last):
        # Two threads that record for the same parameter can wait for each other without end.
        assert not torch.is_grad_enabled()
        pieces.append((first, last))

    in_parallel(work, 7, 100 * TOO_SMALL, torch.device("cpu"))
    assert len(pieces) == threads and sorted(i for first, last in pieces for i in range(first, last)) == list(range(7))


def test_errors_in_a_thread_are_raised(monkeypatch):
    monkeypatch.setattr("distill3d.kernels.warp_runtime.torch.get_num_threads", lambda: 2)

    def work(first, last):
        raise ValueError(f"piece {first}")

    with pytest.raises(ValueError, match="piece 0"):
        in_parallel(work, 2, 100 * TOO_SMALL, torch.device("cpu"))
