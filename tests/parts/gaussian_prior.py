"""A prior whose score is known in closed form: pixels are independent Gaussians, N(mean[text], deviation^2)."""
from dataclasses import dataclass

import torch

from distill3d.nodes.core.prior import Encoded, PlainPrior, TextCondition

ABAR = torch.cos((torch.arange(1000) + 0.5) / 1000 * torch.pi / 2).square().clamp(1e-4, 0.9999)


@dataclass(frozen=True)
class GaussianPrior:
    """means: text -> value of every pixel in [-1,1]; texts that are not listed mean 0."""

    means: tuple = ()
    deviation: float = 0.1
    size: int = 8

    image = ""

    def load(self, priors):
        return LoadedGaussian(self, priors.device)


class LoadedGaussian(PlainPrior):
    channels, views, timesteps = 3, 1, 1000

    def __init__(self, recipe, device):
        self.recipe, self.size, self.device = recipe, recipe.size, device
        self.calls = []

    def encode_prompts(self, texts):
        means = dict(self.recipe.means)
        return TextCondition(torch.tensor([means.get(text, 0.0) for text in texts]).view(-1, 1, 1))

    def mean_of(self, condition):
        return condition.embedding.view(-1, 1, 1, 1)

    def encode_image(self, rgb):
        return Encoded(rgb.permute(0, 3, 1, 2) * 2 - 1)

    def decode_image(self, z):
        return z.permute(0, 2, 3, 1) * 0.5 + 0.5

    def sigma(self, t):
        return ((1 - ABAR[t]) / ABAR[t]).sqrt()

    def add_noise(self, z, noise, t):
        a = ABAR[t].view(-1, 1, 1, 1).to(z)
        return a.sqrt() * z + (1 - a).sqrt() * noise

    def denoise(self, z_t, t, conditions, cameras, beside=None):
        """E[z0 | z_t] of a Gaussian: the mean, pulled to the observation by the ratio of variances."""
        self.calls.append((z_t, t))
        a = ABAR[t].view(-1, 1, 1, 1).to(z_t)
        gain = a.sqrt() * self.recipe.deviation**2 / (a * self.recipe.deviation**2 + 1 - a)
        results = []
        for condition in conditions:
            mean = self.mean_of(condition).to(z_t)
            results.append(mean + gain * (z_t - a.sqrt() * mean))
        return results
