import math

import pytest
import torch

from distill3d.kernels.distill.guidance import guide, perpendicular, rescale
from distill3d.kernels.distill.sds import sds_gradient, surrogate
from distill3d.kernels.distill.weighting import WEIGHTINGS, weight

ABAR = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
SIGMA = ((1 - ABAR) / ABAR).sqrt()


def test_weightings_are_the_published_functions_of_abar():
    assert torch.allclose(weight(SIGMA, "sds"), 1 - ABAR)
    assert torch.allclose(weight(SIGMA, "uniform"), torch.ones_like(ABAR))
    assert torch.allclose(weight(SIGMA, "fantasia3d"), ABAR.sqrt() * (1 - ABAR))
    assert torch.allclose(weight(SIGMA, "inverse"), 1 / (1 - ABAR))
    assert torch.allclose(weight(SIGMA, "flow"), 1 + SIGMA)
    assert torch.allclose(weight(SIGMA, "ncsn") * SIGMA, torch.ones_like(ABAR))
    with pytest.raises(ValueError, match="elbo"):
        weight(SIGMA, "elbo")
    with pytest.raises(ValueError, match="nonsense"):
        weight(SIGMA, "nonsense")


def test_elbo_is_the_weight_of_the_variational_bound():
    """Times the residual of z: abar' beta^2 / (2 beta~ (1 - abar)^2) |z - z0|^2 (Ho et al. 2020, eq. 8, for x0)."""
    before = torch.tensor([0.92, 0.55, 0.14], dtype=torch.float64)
    beta = 1 - ABAR / before
    posterior = beta * (1 - before) / (1 - ABAR)
    known = before * beta**2 / (posterior * (1 - ABAR) ** 2)
    found = weight(SIGMA, "elbo", ((1 - before) / before).sqrt()) / SIGMA  # the residual of noise is (z - z0) / sigma
    assert torch.allclose(found, known, rtol=1e-10)


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_gradient_is_weight_times_noise_residual(kind):
    torch.manual_seed(0)
    z, noise, predicted = torch.randn(3, 3, 4, 5, 5, dtype=torch.float64)
    a, s = ABAR.sqrt().view(-1, 1, 1, 1), (1 - ABAR).sqrt().view(-1, 1, 1, 1)
    z_t = a * z + s * noise
    z0 = (z_t - s * predicted) / a
    expected = weight(SIGMA, kind, SIGMA / 2).view(-1, 1, 1, 1) * (predicted - noise)
    assert torch.allclose(sds_gradient(z, z0, SIGMA, kind, SIGMA / 2), expected, atol=1e-12)
    if kind == "x0":
        assert torch.allclose(sds_gradient(z, z0, SIGMA, kind), z - z0)


def test_velocity_models_give_the_same_residual():
    torch.manual_seed(0)
    z, noise, velocity = torch.randn(3, 3, 4, 5, 5, dtype=torch.float64)
    a, s = ABAR.sqrt().view(-1, 1, 1, 1), (1 - ABAR).sqrt().view(-1, 1, 1, 1)
    z_t = a * z + s * noise
    z0, eps_hat = a * z_t - s * velocity, s * z_t + a * velocity
    assert torch.allclose(sds_gradient(z, z0, SIGMA, "uniform"), eps_hat - noise, atol=1e-12)


def test_surrogate_sums_over_elements_and_divides_by_the_batch():
    z = torch.randn(5, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    gradient = torch.randn_like(z)
    loss = surrogate(z, gradient)
    loss.backward()
    assert torch.allclose(z.grad, gradient.detach() / 5)
    assert math.isclose(loss.item(), 0.5 * gradient.square().sum().item() / 5, rel_tol=1e-9)


def test_guidance_is_the_standard_form():
    negative, positive = torch.randn(2, 4, 3, 2, 2, dtype=torch.float64)
    assert torch.equal(guide(negative, positive, 1.0), negative + (positive - negative))
    paper = positive + 100 * (positive - negative)
    assert torch.allclose(guide(negative, positive, 101.0), paper)
    scales = torch.tensor([0.0, 1.0, 5.0, 7.5])
    each = torch.cat([guide(negative[i:i + 1], positive[i:i + 1], float(s)) for i, s in enumerate(scales)])
    assert torch.allclose(guide(negative, positive, scales), each)


def test_rescale_restores_the_deviation_per_group():
    torch.manual_seed(0)
    positive = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    guided = positive * 3 + 0.2
    assert torch.equal(rescale(guided, positive, 0.0), guided)
    whole = rescale(guided, positive, 1.0)
    assert torch.allclose(whole.flatten(1).std(1), positive.flatten(1).std(1))
    grouped = rescale(guided, positive, 1.0, views=2)
    assert torch.allclose(grouped.reshape(2, -1).std(1), positive.reshape(2, -1).std(1))


def test_perpendicular_leaves_nothing_along_the_axis():
    vector, axis = torch.randn(2, 4, 3, 5, 5, dtype=torch.float64)
    assert torch.allclose((perpendicular(vector, axis) * axis).sum((1, 2, 3)), torch.zeros(4, dtype=torch.float64),
                          atol=1e-12)
    assert torch.equal(perpendicular(vector, torch.zeros_like(axis)), vector)
