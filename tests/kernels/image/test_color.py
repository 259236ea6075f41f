import pytest
import torch

from distill3d.kernels.image.color import linear_to_srgb, srgb_to_linear


def test_known_values():
    srgb = torch.tensor([0.0, 0.02, 0.5, 1.0], dtype=torch.float64)
    linear = torch.tensor([0.0, 0.02 / 12.92, 0.21404114048223255, 1.0], dtype=torch.float64)
    torch.testing.assert_close(srgb_to_linear(srgb), linear)
    torch.testing.assert_close(linear_to_srgb(linear), srgb)


def test_round_trip_beyond_the_range():
    value = torch.linspace(-0.5, 3, 1001, dtype=torch.float64)
    torch.testing.assert_close(linear_to_srgb(srgb_to_linear(value)), value, rtol=0, atol=1e-6)
    assert (srgb_to_linear(value).diff() > 0).all()


@pytest.mark.parametrize("function", [srgb_to_linear, linear_to_srgb])
def test_gradients(function):
    value = torch.tensor([-0.3, 0.001, 0.2, 0.9, 1.5], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(function, value)
    edge = torch.tensor([0.0, 0.0031308, 0.04045, 1.0], requires_grad=True)
    function(edge).sum().backward()
    assert edge.grad.isfinite().all() and (edge.grad > 0).all()


def test_any_shape_and_none():
    assert srgb_to_linear(torch.rand(2, 0, 3)).shape == (2, 0, 3)
