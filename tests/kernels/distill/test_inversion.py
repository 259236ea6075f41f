"""DDIM there and back, against an analytic denoiser."""
import pytest
import torch

from distill3d.kernels.distill.inversion import ddim_step, invert
from distill3d.kernels.distill.sampling import ancestral_step, implied_noise

MEAN, SPREAD = 0.4, 0.8  # of a Gaussian data distribution, whose denoiser is linear


def denoise(x, sigma):
    return MEAN + (x - MEAN) * SPREAD**2 / (SPREAD**2 + sigma**2)


def images(count=6):
    return torch.randn(count, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_many_steps_follow_the_flow_of_a_gaussian():
    """The exact solution of the flow keeps (x - mean) / sqrt(spread^2 + sigma^2)."""
    z, last = images(), 5.0
    levels = torch.logspace(-4, 0, 4000, base=10, dtype=torch.float64) * last
    x = invert(z, levels.tolist(), denoise)
    known = MEAN + (z - MEAN) * ((SPREAD**2 + last**2) / SPREAD**2) ** 0.5
    torch.testing.assert_close(x, known, rtol=2e-3, atol=1e-3)


def test_sampling_undoes_inversion():
    z = images()
    levels = torch.logspace(-3, 1, 2000, dtype=torch.float64).tolist()
    x = invert(z, levels, denoise)
    for sigma, next_sigma in zip(reversed(levels), reversed(levels[:-1])):
        x = ddim_step(x, denoise(x, sigma), sigma, next_sigma)
    torch.testing.assert_close(x, z, rtol=0, atol=2e-2)  # DDIM is of first order


def test_a_step_is_the_implied_noise_at_another_level():
    z, noise, sigma = images(), images(), 2.0
    x = z + sigma * noise
    z0 = denoise(x, sigma)
    eps = implied_noise(z, noise, z0, torch.full((len(z),), sigma, dtype=z.dtype))
    torch.testing.assert_close(ddim_step(x, z0, sigma, 0.5), z0 + 0.5 * eps)
    torch.testing.assert_close(ddim_step(x, z0, sigma, 7.0), z0 + 7.0 * eps)


def test_eta_one_is_the_ancestral_step():
    x, z0, noise = images(), images() * 0.5, images().flip(0)
    torch.testing.assert_close(ddim_step(x, z0, 2.0, 0.7, 1.0, noise), ancestral_step(x, z0, 2.0, 0.7, noise))


@pytest.mark.parametrize("next_sigma", [0.5, 5.0])
def test_fresh_noise_keeps_the_level(next_sigma):
    """Where the denoiser knows the image, what is not it has the deviation of the level, whatever eta is."""
    generator = torch.Generator().manual_seed(1)
    z, noise, fresh = (torch.randn(1, 1, 300, 300, generator=generator, dtype=torch.float64) for _ in range(3))
    for eta in (0.0, 0.3, 1.0):
        x = ddim_step(z + 2.0 * noise, z, 2.0, next_sigma, eta, fresh)
        assert float((x - z).std()) == pytest.approx(next_sigma, rel=0.01)


def test_gradients():
    x, z0 = (torch.randn(1, 1, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    noise = torch.randn(1, 1, 2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x, z0: ddim_step(x, z0, 1.5, 0.5, 0.5, noise), (x, z0))


@pytest.mark.parametrize("levels", [[], [0.0, 1.0], [1.0, 1.0], [2.0, 1.0]])
def test_levels_must_rise(levels):
    with pytest.raises(ValueError, match="must rise"):
        invert(images(), levels, denoise)


def test_eta_needs_noise():
    with pytest.raises(ValueError, match="noise"):
        ddim_step(images(), images(), 1.0, 2.0, 0.3)


def test_levels_of_each_image_are_those_of_each_alone():
    x, z0, noise = torch.randn(3, 2, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    low, high = torch.tensor([0.5, 2.0], dtype=torch.float64), torch.tensor([0.8, 3.0], dtype=torch.float64)
    for first, second in ((low, high), (high, low)):
        for eta in (0.0, 0.4):
            both = ddim_step(x, z0, first, second, eta, noise)
            alone = [ddim_step(x[i:i + 1], z0[i:i + 1], float(first[i]), float(second[i]), eta, noise[i:i + 1])
                     for i in range(2)]
            torch.testing.assert_close(both, torch.cat(alone))
