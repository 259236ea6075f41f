"""Repainting with a Gaussian prior, whose denoiser and flow are known."""
import pytest
import torch
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.priors.repaint import Repainted, repaint
from gaussian_prior import GaussianPrior, LoadedGaussian

CPU = torch.device("cpu")
CAMERAS = turntable(2, 15, 3, 40, 8)


def painted(z, t, guidance=1.0, steps=200, prior=None, seed=0):
    prior = prior or GaussianPrior((("red", 0.4), ("", -0.3)), deviation=0.2).load(CPU)
    noise = torch.randn((len(z), prior.channels, *z.shape[2:]), generator=torch.Generator().manual_seed(seed))
    conditions = [prior.encode_prompts([text] * len(z)) for text in ("", "red")]
    return repaint(prior, z, t, noise, conditions, CAMERAS, guidance, steps)


def test_the_more_noise_the_less_is_left_of_the_picture():
    """From 0 towards 0.4: as far as the Gaussian's flow goes, m + (d / sqrt(d^2 + sigma^2)) (x - m) for x = z + sigma noise."""
    z, prior = torch.zeros(2, 3, 32, 32), GaussianPrior().load(CPU)
    for t in (200, 500, 900):
        sigma = float(prior.sigma(torch.tensor(t)))
        expected = 0.4 - 0.4 * 0.2 / (0.04 + sigma**2) ** 0.5
        assert float(painted(z, t).mean()) == pytest.approx(expected, abs=0.03)
    torch.testing.assert_close(painted(z, 0), z, atol=0.06, rtol=0)


def test_guidance_leads_away_from_the_negative_text():
    z = torch.zeros(2, 3, 32, 32)
    assert painted(z, 500, guidance=2.0).mean() > painted(z, 500).mean() + 0.1


def test_pixels_stay_in_range_and_channels_that_are_a_condition_stay_as_they_are():
    assert painted(torch.zeros(2, 3, 8, 8), 900, guidance=20.0).max() == 1

    class WithDepth(LoadedGaussian):
        def add_noise(self, z, noise, t):
            return torch.cat([super().add_noise(z[:, :3], noise, t), z[:, 3:]], 1)

        def denoise(self, z_t, t, conditions, cameras):
            return super().denoise(z_t[:, :3] + 0 * z_t[:, 3:], t, conditions, cameras)

    z = torch.rand(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = painted(z, 500, prior=WithDepth(GaussianPrior(), CPU))
    assert torch.equal(found[:, 3:], z[:, 3:]) and found.shape == z.shape and (found[:, :3] - z[:, :3]).abs().max() > 0.1


def test_a_batch_is_the_same_from_its_state():
    batch = Repainted(torch.rand(2, 3, 8, 8), CAMERAS, 17)
    again = Repainted.of_state(batch.state_dict(), CPU)
    assert torch.equal(again.z, batch.z) and again.step == 17 and (again.cameras.height, again.cameras.width) == (8, 8)
    for name in ("c2w", "fovy", "azimuth", "elevation", "distance"):
        assert torch.equal(getattr(again.cameras, name), getattr(CAMERAS, name))
