import pytest
import torch

from distill3d.kernels.distill.sampling import ancestral_step, langevin_step
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.priors.sample_prior import LangevinSampleNode, SamplePriorNode, langevin, sample
from gaussian_prior import GaussianPrior

PRIOR = GaussianPrior((("red", 0.5),), deviation=0.2)
LOADED = PRIOR.load(LoadedPriors(torch.device("cpu")))


def last(images):
    *_, image = images
    return image


def test_ancestral_step_is_the_posterior():
    """q(x_s | x_t, z0) in the usual DDPM form, brought to the variance-exploding one."""
    torch.manual_seed(0)
    x, z0, noise = torch.randn(3, 2, 3, 4, 4, dtype=torch.float64)
    abar_t, abar_s = 0.3, 0.7
    sigma, lower = ((1 - abar_t) / abar_t) ** 0.5, ((1 - abar_s) / abar_s) ** 0.5
    alpha, beta = abar_t / abar_s, 1 - abar_t / abar_s
    x_t = x * abar_t**0.5
    mean = abar_s**0.5 * beta / (1 - abar_t) * z0 + alpha**0.5 * (1 - abar_s) / (1 - abar_t) * x_t
    variance = (1 - abar_s) / (1 - abar_t) * beta
    expected = (mean + variance**0.5 * noise) / abar_s**0.5
    assert torch.allclose(ancestral_step(x, z0, sigma, lower, noise), expected)
    assert torch.allclose(ancestral_step(x, z0, sigma, 0.0, noise), z0)


def test_langevin_keeps_a_gaussian_where_it_is():
    torch.manual_seed(0)
    deviation, sigma = 0.5, 0.3
    whole = (deviation**2 + sigma**2) ** 0.5
    x = torch.randn(200_000, dtype=torch.float64) * whole
    for _ in range(50):
        z0 = x * deviation**2 / whole**2
        x = langevin_step(x, z0, sigma, 0.05, torch.randn_like(x))
    assert abs(x.std() - whole) < 0.01


def test_samples_have_the_distribution_of_the_prior():
    images = last(sample(LOADED, ["red"] * 200, steps=200, guidance=1.0, clamp=False)) * 2 - 1
    assert abs(images.mean() - 0.5) < 0.01 and abs(images.std() - 0.2) < 0.02


def test_langevin_has_the_distribution_of_the_prior():
    class Steep(type(LOADED)):
        """Noise levels that reach as far as the cosine schedule's do."""

        def sigma(self, t):
            return super().sigma(t) * torch.where(t == 999, 300.0, 1.0)

    prior = Steep(PRIOR, torch.device("cpu"))
    images = last(langevin(prior, ["red"] * 100, levels=60, steps=20, size=0.1, guidance=1.0, clamp=False)) * 2 - 1
    assert abs(images.mean() - 0.5) < 0.03 and abs(images.std() - 0.2) < 0.04


@pytest.mark.parametrize("node", [SamplePriorNode, LangevinSampleNode])
def test_nodes_return_enlarged_pictures_repeatably(node):
    def images(seed):
        return node.execute(PRIOR, Prompt("red", views="none"), images=2, steps=3, enlarge=2, seed=seed).args[0]

    assert images(0).shape == (2, 16, 16, 3)
    assert torch.equal(images(0), images(0)) and not torch.equal(images(0), images(1))


@pytest.mark.parametrize("steps", [3, 0])
def test_a_prior_is_released_also_by_a_failed_run(steps):
    released = []

    class Holding(type(LOADED)):
        def release(self):
            released.append(self)

        def denoise(self, *arguments):
            if not steps:
                raise RuntimeError("broken")
            return super().denoise(*arguments)

    class Recipe:
        def load(self, priors):
            return Holding(PRIOR, priors.device)

    def run():
        SamplePriorNode.execute(Recipe(), Prompt("red", views="none"), images=1, steps=3)

    if steps:
        run()
    else:
        with pytest.raises(RuntimeError, match="broken"):
            run()
    assert len(released) == 1
