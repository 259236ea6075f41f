import math

import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.encode.spherical_harmonics import encode_spherical_harmonics


def sphere_quadrature(height=8, around=12):
    """Directions and weights that integrate polynomials up to degree 11 exactly over the sphere."""
    # Gauss-Legendre nodes from the eigenvalues of the Jacobi matrix (Golub and Welsch 1969).
    k = torch.arange(1, height, dtype=torch.float64)
    beside = k / torch.sqrt(4 * k**2 - 1)
    z, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    weight = 2 * vectors[0]**2
    angle = torch.arange(around, dtype=torch.float64) * (2 * math.pi / around)
    radius = torch.sqrt(1 - z**2)[:, None]
    x, y = radius * angle.cos(), radius * angle.sin()
    directions = torch.stack((x, y, z[:, None].expand_as(x)), dim=-1).reshape(-1, 3)
    return directions, weight.repeat_interleave(around) * (2 * math.pi / around)


def test_orthonormal():
    directions, weight = sphere_quadrature()
    basis = encode_spherical_harmonics(directions, 4)
    torch.testing.assert_close(basis.T @ (weight[:, None] * basis), torch.eye(25, dtype=torch.float64))


def test_each_order_is_closed_under_rotation():
    # Sums of squares over an order are constant (Unsoeld): true only if no function strays between orders.
    directions, _ = sphere_quadrature()
    basis = encode_spherical_harmonics(directions, 4)
    for order in range(5):
        total = basis[:, order**2:(order + 1)**2].square().sum(1)
        torch.testing.assert_close(total, torch.full_like(total, (2 * order + 1) / (4 * math.pi)))


def test_each_function_turns_m_times_around_z():
    turn = 0.3
    directions, _ = sphere_quadrature()
    c, s = math.cos(turn), math.sin(turn)
    turned = directions @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float64)
    before, after = encode_spherical_harmonics(directions, 4), encode_spherical_harmonics(turned, 4)
    for order in range(5):
        for m in range(order + 1):
            plus, minus = order * (order + 1) + m, order * (order + 1) - m
            cos, sin = math.cos(m * turn), math.sin(m * turn)
            torch.testing.assert_close(after[:, plus], cos * before[:, plus] - sin * before[:, minus] * (m > 0))


def test_signs_of_the_splat_convention():
    x, y, z = encode_spherical_harmonics(torch.eye(3, dtype=torch.float64), 4)
    first = math.sqrt(3 / (4 * math.pi))
    expected = torch.tensor([-first, first, -first], dtype=torch.float64)
    torch.testing.assert_close(torch.stack((y[1], z[2], x[3])), expected)
    for order in range(5):
        assert z[order * (order + 1)] > 0
        for m in range(1, order + 1):  # approached from +x near the pole, the cosine terms have sign (-1)**m
            tilted = torch.tensor([[0.1, 0, math.sqrt(0.99)]], dtype=torch.float64)
            assert encode_spherical_harmonics(tilted, 4)[0, order * (order + 1) + m] * (-1)**m > 0


@pytest.mark.parametrize("degree", range(5))
def test_lower_degrees_are_a_prefix(degree):
    directions, _ = sphere_quadrature()
    whole = encode_spherical_harmonics(directions, 4)
    torch.testing.assert_close(encode_spherical_harmonics(directions, degree), whole[:, :(degree + 1)**2])


def test_gradient_and_edges():
    directions = sphere_quadrature()[0][:3].requires_grad_()
    assert gradcheck(lambda d: encode_spherical_harmonics(d, 4), directions)
    assert encode_spherical_harmonics(torch.zeros(0, 3), 3).shape == (0, 16)
    with pytest.raises(ValueError, match="0 to 4"):
        encode_spherical_harmonics(torch.zeros(1, 3), 5)
