import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume import segment
from distill3d.kernels.volume.segment import exclusive_sum, segment_sum, segments

RAGGED = torch.tensor([1, 1, 1, 3, 4, 4])  # rays 0, 2 and 5 are empty
EVEN = torch.arange(3).repeat_interleave(2)


def test_offsets_and_width():
    of = segments(RAGGED, 6)
    assert of.offsets.tolist() == [0, 0, 3, 3, 4, 6, 6] and of.width is None and of.rays == 6
    assert segments(EVEN, 3).width == 2
    assert segments(torch.tensor([0, 0, 0, 1, 2, 2]), 3).width is None  # 6 / 3 divides, but is not even
    assert segments(torch.zeros(0, dtype=torch.int64), 4).width == 0


def test_values():
    values = torch.arange(1.0, 7.0)
    of = segments(RAGGED, 6)
    assert segment_sum(values, of).tolist() == [0, 6, 0, 4, 11, 0]
    assert exclusive_sum(values, of).tolist() == [0, 1, 3, 0, 0, 5]
    assert segment_sum(values[:, None] * torch.tensor([1.0, 2]), of)[:, 1].tolist() == [0, 12, 0, 8, 22, 0]
    assert exclusive_sum(values, segments(EVEN, 3)).tolist() == [0, 1, 0, 3, 0, 5]


@pytest.mark.parametrize("ray, rays", [(RAGGED, 6), (EVEN, 3)])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_gradients(check, ray, rays):
    values = torch.rand(6, 2, dtype=torch.float64, requires_grad=True)
    of = segments(ray, rays)
    assert check(lambda v: segment_sum(v, of), values)
    assert check(lambda v: exclusive_sum(v[:, 0], of)**2, values)


@pytest.mark.parametrize("later", [False, True])
def test_methods_of_summation_agree(later):
    ray = torch.arange(40).repeat_interleave(5)
    values = torch.rand(200, dtype=torch.float64)
    rows = segment._row_sums(values.view(40, 5), later).flatten()
    torch.testing.assert_close(segment._offset_sums(values, segments(ray, 40), later), rows)
    torch.testing.assert_close(segment._padded_sums(values, segments(ray, 40), later), rows)
    ragged = segments(RAGGED, 6)
    torch.testing.assert_close(segment._padded_sums(values[:6], ragged, later),
                               segment._offset_sums(values[:6], ragged, later))


def test_long_lists_keep_their_precision():
    # A float32 running sum over the whole list would reach 2**24 and stop counting.
    ray = torch.arange(2).repeat_interleave(torch.tensor([3, 2]))
    values = torch.tensor([2.0**26, 1, 1, 1, 1])
    assert exclusive_sum(values, segments(ray, 2)).tolist() == [0, 2**26, 2**26, 0, 1]


def test_no_samples_and_no_rays():
    empty = torch.zeros(0, dtype=torch.int64)
    for rays in 0, 3:
        of = segments(empty, rays)
        assert segment_sum(torch.zeros(0, 2), of).shape == (rays, 2)
        assert exclusive_sum(torch.zeros(0), of).shape == (0,)
        assert segment._padded_sums(torch.zeros(0), of, False).shape == (0,)
        assert segment._offset_sums(torch.zeros(0), of, True).shape == (0,)
    with pytest.raises(ShapeError, match="rays is 0"):
        segments(EVEN, 0)
