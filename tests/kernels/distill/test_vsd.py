import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.distill.sds import sds_gradient
from distill3d.kernels.distill.vsd import denoising_error, vsd_gradient
from distill3d.kernels.distill.weighting import WEIGHTINGS, weight

ABAR = torch.tensor([0.9, 0.5, 0.1], dtype=torch.float64)
SIGMA = ((1 - ABAR) / ABAR).sqrt()
A, S = (factor.sqrt().view(-1, 1, 1, 1) for factor in (ABAR, 1 - ABAR))


def draw(count, seed=0):
    return torch.randn(count, 3, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_gradient_is_weight_times_the_difference_of_two_noises(kind):
    z, noise, guided, painted = draw(4)
    z_t = A * z + S * noise
    z0, z0_rendered = (z_t - S * guided) / A, (z_t - S * painted) / A
    expected = weight(SIGMA, kind, SIGMA / 2).view(-1, 1, 1, 1) * (guided - painted)
    assert torch.allclose(vsd_gradient(z0, z0_rendered, SIGMA, kind, SIGMA / 2), expected, atol=1e-12)


def test_a_noise_model_against_a_velocity_model():
    """As published: the second model predicts velocity, v = A noise - S z, so its noise is S z_t + A v."""
    z, noise, guided, velocity = draw(4)
    z_t = A * z + S * noise
    z0, z0_rendered = (z_t - S * guided) / A, A * z_t - S * velocity
    expected = (1 - ABAR).view(-1, 1, 1, 1) * (guided - (S * z_t + A * velocity))
    assert torch.allclose(vsd_gradient(z0, z0_rendered, SIGMA), expected, atol=1e-12)


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_equals_sds_when_the_second_model_predicts_the_noise(kind):
    z, noise, guided = draw(3)
    z_t = A * z + S * noise
    z0, z0_of_the_noise = (z_t - S * guided) / A, (z_t - S * noise) / A
    pair = SIGMA, kind, SIGMA / 2
    assert torch.allclose(vsd_gradient(z0, z0_of_the_noise, *pair), sds_gradient(z, z0, *pair), atol=1e-12)
    assert torch.equal(vsd_gradient(z0, z, *pair), sds_gradient(z, z0, *pair))


def test_denoising_error_is_that_of_the_prediction():
    z, noise, predicted = draw(3)
    z_t = A * z + S * noise
    by_noise = denoising_error(z, (z_t - S * predicted) / A, SIGMA)
    assert by_noise.item() == pytest.approx((predicted - noise).square().mean().item())
    by_velocity = denoising_error(z, A * z_t - S * predicted, SIGMA, "v_prediction")
    assert by_velocity.item() == pytest.approx((predicted - (A * noise - S * z)).square().mean().item())


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_gradcheck_of_the_error(prediction):
    z, z0 = draw(2)
    z0.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: denoising_error(z, x, SIGMA, prediction), (z0,))


def test_wrong_arguments_are_named():
    z = draw(1)[0]
    with pytest.raises(ShapeError, match="z0"):
        denoising_error(z, z[:2], SIGMA)
    with pytest.raises(ValueError, match="noise"):
        denoising_error(z, z, SIGMA, "noise")
