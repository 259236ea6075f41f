import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.resize import MODES, resize


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(3, 5), (16, 12), (5, 20)])
def test_a_constant_stays_and_shapes_follow(mode, size):
    result = resize(torch.full((2, 8, 10, 3), 0.3), *size, mode)
    assert result.shape == (2, *size, 3)
    torch.testing.assert_close(result, torch.full_like(result, 0.3))


def test_enlarging_keeps_the_borders_in_place():
    ramp = ((torch.arange(8) + 0.5) / 8)[None, None, :, None].expand(1, 4, 8, 1)
    result = resize(ramp, 4, 16)[0, 0, :, 0]
    torch.testing.assert_close(result[1:-1], ((torch.arange(16) + 0.5) / 16)[1:-1])


def test_shrinking_filters():
    checker = ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float()[None, ..., None]
    assert (resize(checker, 4, 4)[:, 1:-1, 1:-1] - 0.5).abs().max() < 0.05
    torch.testing.assert_close(resize(checker, 4, 4, "area"), torch.full((1, 4, 4, 1), 0.5))


def test_area_and_nearest_values():
    image = torch.arange(16.0).view(1, 4, 4, 1)
    assert resize(image, 2, 2, "area").flatten().tolist() == [2.5, 4.5, 10.5, 12.5]
    assert resize(image, 8, 8, "nearest")[0, ::2, 1::2, 0].tolist() == image[0, ..., 0].tolist()
    assert resize(torch.arange(3.0).view(1, 1, 3, 1), 1, 1, "nearest").item() == 1      # the middle, not the first


@pytest.mark.parametrize("mode", MODES)
def test_gradcheck(mode):
    image = torch.rand(1, 4, 5, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: resize(x, 3, 7, mode), image)


def test_same_size_is_the_same_and_bad_input_is_named():
    image = torch.rand(1, 4, 4, 3)
    assert torch.equal(resize(image, 4, 4, "bicubic"), image)
    with pytest.raises(ValueError, match="'lanczos'.*bilinear"):
        resize(image, 2, 2, "lanczos")
    with pytest.raises(ShapeError, match="image"):
        resize(image[0], 2, 2)
