"""Repainting with a Gaussian prior, whose denoiser and flow are known."""
import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.prior import Encoded, LoadedPriors
from distill3d.nodes.priors.repaint import Repainted, repaint
from gaussian_prior import GaussianPrior, LoadedGaussian

CPU = torch.device("cpu")
CAMERAS = turntable(2, 15, 3, 40, 8)


def painted(z, t, guidance=1.0, steps=200, prior=None, seed=0, beside=None):
    prior = prior or GaussianPrior((("red", 0.4), ("", -0.3)), deviation=0.2).load(LoadedPriors(CPU))
    noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(seed))
    conditions = [prior.encode_prompts([text] * len(z)) for text in ("", "red")]
    return repaint(prior, Encoded(z, beside), t, noise, conditions, CAMERAS, guidance, steps).clean


def test_the_more_noise_the_less_is_left_of_the_picture():
    """From 0 towards 0.4: as far as the Gaussian's flow goes, m + (d / sqrt(d^2 + sigma^2)) (x - m) for x = z + sigma
    noise."""
    z, prior = torch.zeros(2, 3, 32, 32), GaussianPrior().load(LoadedPriors(CPU))
    for t in (200, 500, 900):
        sigma = float(prior.sigma(torch.tensor(t)))
        expected = 0.4 - 0.4 * 0.2 / (0.04 + sigma**2) ** 0.5
        assert float(painted(z, t).mean()) == pytest.approx(expected, abs=0.03)
    torch.testing.assert_close(painted(z, 0), z, atol=0.06, rtol=0)


def test_guidance_leads_away_from_the_negative_text():
    z = torch.zeros(2, 3, 32, 32)
    assert painted(z, 500, guidance=2.0).mean() > painted(z, 500).mean() + 0.1


def test_pixels_stay_in_range_and_what_they_stand_beside_is_given_to_every_step():
    assert painted(torch.zeros(2, 3, 8, 8), 900, guidance=20.0).max() == 1
    depth, seen = torch.rand(2, 1, 8, 8), []

    class WithDepth(LoadedGaussian):
        def denoise(self, z_t, t, conditions, cameras, beside=None):
            seen.append(beside)
            return super().denoise(z_t, t, conditions, cameras)

    z = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = painted(z, 500, prior=WithDepth(GaussianPrior(), CPU), beside=depth, steps=7)
    assert len(seen) == 7 and all(beside is depth for beside in seen) and (found - z).abs().max() > 0.1


@pytest.mark.parametrize("beside", [None, torch.rand(2, 1, 8, 8)])
def test_a_batch_is_the_same_from_its_state(beside):
    batch = Repainted(Encoded(torch.rand(2, 3, 8, 8), beside), CAMERAS, 17)
    again = Repainted.of_state(batch.state_dict(), CPU)
    assert torch.equal(again.z.clean, batch.z.clean) and again.step == 17 and (
        again.cameras.height, again.cameras.width) == (8, 8)
    assert (again.z.beside is None) == (beside is None) and (beside is None or torch.equal(again.z.beside, beside))
    for name in ("c2w", "fovy", "azimuth", "elevation", "distance"):
        assert torch.equal(getattr(again.cameras, name), getattr(CAMERAS, name))
