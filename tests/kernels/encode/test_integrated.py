import math

import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.encode.frequency import encode_frequency
from distill3d.kernels.encode.integrated import encode_integrated, frustum_gaussian


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_without_spread_it_is_the_frequency_encoding():
    x = torch.rand(5, 3, dtype=torch.float64)
    torch.testing.assert_close(encode_integrated(x * math.pi, torch.zeros_like(x), 4), encode_frequency(x, 4))


def test_is_the_expectation_over_a_gaussian():
    mean, sigma = 0.7, 0.4
    u = torch.linspace(-8, 8, 20001, dtype=torch.float64)
    density = torch.exp(-u**2 / 2) / math.sqrt(2 * math.pi)
    for k in range(3):
        angle = 2**k * (mean + sigma * u)
        expected = [torch.trapezoid(f(angle) * density, u) for f in (torch.sin, torch.cos)]
        found = encode_integrated(double([mean]), double([sigma**2]), 3)[0, 2 * k:2 * k + 2]
        torch.testing.assert_close(found, torch.stack(expected))


def test_frustum_has_the_moments_of_a_uniform_cone():
    t0, t1, radius = 1.0, 1.7, 0.2
    origin, direction = double([1, 2, 3]), double([0, 0, 2])  # not of unit length
    mean, covariance = frustum_gaussian(origin, direction, double(t0), double(t1), radius)
    # The area of a slice grows as t**2; across it a uniform disk of radius r t has variance (r t)**2 / 4.
    volume = (t1**3 - t0**3) / 3
    t_mean = (t1**4 - t0**4) / 4 / volume
    t_square = (t1**5 - t0**5) / 5 / volume
    torch.testing.assert_close(mean, double([1, 2, 3 + 2 * t_mean]))
    across = radius**2 * t_square / 4
    torch.testing.assert_close(covariance, double([across, across, 4 * (t_square - t_mean**2)]))


def test_diagonal_of_a_tilted_frustum():
    direction = torch.nn.functional.normalize(double([1, 2, -2]))
    zero = torch.zeros(1, 3, dtype=torch.float64)
    axis_mean, axis = frustum_gaussian(zero, double([0, 0, 1]), double(2.0), double(2.5), 0.1)
    mean, diagonal = frustum_gaussian(zero, direction, double(2.0), double(2.5), 0.1)
    torch.testing.assert_close(mean, direction * axis_mean[0, 2])
    outer = direction.T @ direction
    covariance = axis[0, 2] * outer + axis[0, 0] * (torch.eye(3, dtype=torch.float64) - outer)
    torch.testing.assert_close(diagonal[0], covariance.diagonal())


def test_thin_far_pieces_do_not_cancel():
    def variance(dtype):
        origin, direction = torch.zeros(1, 3, dtype=dtype), torch.tensor([[1., 0, 0]], dtype=dtype)
        t0 = torch.tensor([1000.0], dtype=dtype)
        return frustum_gaussian(origin, direction, t0, t0 + 0.25, 0.001)[1].double()
    torch.testing.assert_close(variance(torch.float32), variance(torch.float64), rtol=1e-5, atol=0)


def test_empty_piece_at_the_apex_is_finite():
    zero = torch.zeros(1, requires_grad=True)
    mean, covariance = frustum_gaussian(torch.zeros(1, 3), torch.tensor([[1., 0, 0]]), zero, torch.zeros(1), 0.1)
    assert mean.abs().sum() == 0 and covariance.abs().sum() == 0
    (mean.sum() + covariance.sum()).backward()
    assert zero.grad.isfinite().all()


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    def random(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64).requires_grad_()
    assert gradcheck(lambda m, c: encode_integrated(m, c, 3), (random(2, 3), random(2, 3)))
    assert gradcheck(lambda o, d, a, b, r: frustum_gaussian(o, d, a, a + b, r),
                     (random(2, 3), random(2, 3), random(2), random(2), random(2)))


def test_empty_and_bad_arguments():
    empty, none = torch.zeros(0, 3), torch.zeros(0)
    assert [part.shape for part in frustum_gaussian(empty, empty, none, none, 0.1)] == [(0, 3), (0, 3)]
    assert encode_integrated(empty, empty, 2).shape == (0, 12)
    with pytest.raises(ShapeError, match="covariance"):
        encode_integrated(torch.zeros(2, 3), torch.zeros(2, 1), 2)
    with pytest.raises(ShapeError, match="t1"):
        frustum_gaussian(torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(2), torch.zeros(3), 0.1)
