import torch

from distill3d.kernels.distill.sampling import implied_noise


def test_z0_plus_implied_noise_is_the_noisy_image():
    z, noise, z0 = torch.randn(3, 2, 4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 20.0], dtype=torch.float64)
    left, s = implied_noise(z, noise, z0, sigma), sigma.view(-1, 1, 1, 1)
    torch.testing.assert_close(z0 + s * left, z + s * noise)
    assert torch.equal(implied_noise(z, noise, z, sigma), noise)


def test_ddim_of_a_gaussian_follows_its_probability_flow():
    """N(m, d^2): the probability flow scales x - m by sqrt(d^2 + sigma^2), so it ends at m + d (x - m) / sqrt(d^2 +
    S^2)."""
    m, d, largest = 0.3, 0.5, 5.0
    z = torch.zeros(1, 1, 1, 64, dtype=torch.float64)
    noise = torch.randn(z.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x = z + largest * noise
    for sigma in torch.logspace(0, -4, 2000, dtype=torch.float64) * largest:
        z0 = m + d**2 / (d**2 + sigma**2) * (z + sigma * noise - m)
        z, noise = z0, implied_noise(z, noise, z0, sigma[None])
    expected = m + d * (x - m) / (d**2 + largest**2) ** 0.5
    torch.testing.assert_close(z, expected, atol=0.01, rtol=0)
