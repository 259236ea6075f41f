import torch

from distill3d.kernels.distill.sds import sds_gradient
from distill3d.kernels.distill.sjc import sjc_gradient

SIGMA = torch.tensor([0.2, 1.0, 7.0], dtype=torch.float64)


def draw(count, batch=3):
    return torch.randn(count, batch, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_with_variance_reduction_it_is_sds_with_uniform_weights():
    z, noise, z0 = draw(3)
    assert torch.allclose(sjc_gradient(z, z0, noise, SIGMA), sds_gradient(z, z0, SIGMA, "uniform"), rtol=1e-14)


def test_without_it_is_the_predicted_noise():
    """The published form: D = z + sigma noise - sigma eps_hat, and the gradient is -(D - z - sigma noise) / sigma."""
    z, noise, eps_hat = draw(3)
    s = SIGMA.view(-1, 1, 1, 1)
    z0 = z + s * noise - s * eps_hat
    assert torch.allclose(sjc_gradient(z, z0, noise, SIGMA, variance_reduction=False), eps_hat, atol=1e-12)


def test_both_forms_have_the_same_mean_and_one_has_less_variance():
    """With a Gaussian's own denoiser, whose answer is z0 = m + d^2 / (d^2 + s^2) (z + s noise - m)."""
    noise = draw(1, batch=4000)[0]
    z, mean, d, s = 0.7, 0.2, 0.5, torch.full((4000,), 2.0, dtype=torch.float64)
    z0 = mean + d**2 / (d**2 + 4.0) * (z + 2.0 * noise - mean)
    reduced, plain = (sjc_gradient(torch.full_like(noise, z), z0, noise, s, kind) for kind in (True, False))
    expected = (z - mean) / (d**2 + 4.0) * 2.0  # -sigma times the score of N(m, d^2 + s^2) at z
    assert abs(reduced.mean().item() - expected) < 1e-3 and abs(plain.mean().item() - expected) < 0.01
    assert reduced.var() < 0.01 * plain.var()
