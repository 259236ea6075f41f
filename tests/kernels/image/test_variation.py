import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.variation import squared_variation


def test_a_ramp_and_a_step():
    ramp = torch.arange(5.0).view(1, 1, 5, 1).expand(2, 4, 5, 3) * 0.1
    assert squared_variation(ramp).item() == pytest.approx(0.01)  # each step to the right is 0.1, none downwards
    step = torch.zeros(1, 2, 2, 1)
    step[0, 1] = 1.0
    assert squared_variation(step).item() == pytest.approx(1.0)
    assert squared_variation(step.transpose(1, 2)).item() == pytest.approx(1.0)


def test_gradcheck():
    image = torch.rand(2, 3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    assert torch.autograd.gradcheck(squared_variation, (image,))


def test_one_pixel_has_no_neighbour():
    image = torch.rand(1, 1, 1, 3, requires_grad=True)
    value = squared_variation(image)
    value.backward()
    assert value.item() == 0 and image.grad.abs().max() == 0


def test_shape_is_checked():
    with pytest.raises(ShapeError, match="image"):
        squared_variation(torch.zeros(4, 4, 3))
