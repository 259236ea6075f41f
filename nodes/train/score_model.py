"""Score model: a small network that learns grad log p of a known mixture, by each way of score matching."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ...kernels.distill.score_matching import (
    denoising_score_matching,
    explicit_score_matching,
    mixture_score,
    sliced_score_matching,
)
from ..core.errors import DistillError

OBJECTIVES = ("explicit", "sliced", "denoising")
TEST = 8192  # fresh samples that the error is measured at


@dataclass(frozen=True)
class Ring:
    """A mixture of `modes` isotropic Gaussians on a circle, each of `deviation`; mode k has weight k + 1."""

    modes: int = 4
    radius: float = 1.5
    deviation: float = 0.5

    def __post_init__(self):
        if self.modes < 1 or not (self.deviation > 0 and self.radius >= 0):
            raise DistillError(f"Train Score Model: modes is {self.modes}, deviation {self.deviation}, radius "
                               f"{self.radius}. Use at least 1 mode, and a deviation above 0.")

    @property
    def means(self) -> Tensor:
        angle = torch.arange(self.modes) * (2 * math.pi / self.modes) + 0.5
        return self.radius * torch.stack([angle.cos(), angle.sin()], 1)

    @property
    def weights(self) -> Tensor:
        return torch.arange(1.0, self.modes + 1)

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """[count,2]"""
        mode = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        return self.means[mode] + self.deviation * torch.randn(count, 2, generator=generator)

    def score(self, x: Tensor, sigma: float = 0.0) -> Tensor:
        """grad log p at x [B,2], of the mixture blurred by noise of level sigma."""
        return mixture_score(x, self.means, torch.full((self.modes,), self.deviation), self.weights, sigma)


@dataclass(frozen=True)
class ScoreRecipe:
    """Numbers of a run: Adam with a rate that falls to 0 by a cosine; every batch is drawn anew.

    objective  see kernels.distill.score_matching
    sigma      of denoising score matching, which finds the score of the mixture blurred by it
    """

    objective: str = OBJECTIVES[0]
    sigma: float = 0.3
    steps: int = 3000
    batch: int = 1024
    width: int = 64
    lr: float = 5e-3
    seed: int = 0

    @property
    def blur(self) -> float:
        """Noise level of the density whose score is learned."""
        return self.sigma if self.objective == "denoising" else 0.0


def train_score_model(ring: Ring, recipe: ScoreRecipe, callback: Callable | None = None) -> nn.Module:
    """The trained network x [B,2] -> score [B,2]. callback(step, steps, loss). Every random choice comes from the
    seed. Call it outside inference mode."""
    if recipe.objective not in OBJECTIVES:
        raise DistillError(f'Train Score Model: objective "{recipe.objective}" is unknown. Use one of '
                           f'{", ".join(OBJECTIVES)}.')
    generator = torch.Generator().manual_seed(recipe.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        network = nn.Sequential(nn.Linear(2, recipe.width), nn.SiLU(), nn.Linear(recipe.width, recipe.width), nn.SiLU(),
                                nn.Linear(recipe.width, 2))
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.99))
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.lr, betas=(0.9, 0.99))
    for step in range(recipe.steps):
        optimizer.param_groups[0]["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        loss = score_loss(network, ring.sample(recipe.batch, generator), recipe, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(network)
        if callback is not None:
            callback(step + 1, recipe.steps, loss.item())
    return average.module.requires_grad_(False)


def score_loss(network: Callable[[Tensor], Tensor], x: Tensor, recipe: ScoreRecipe,
               generator: torch.Generator) -> Tensor:
    """The objective of a recipe at samples x [B,2]."""
    if recipe.objective == "explicit":
        return explicit_score_matching(network, x)
    if recipe.objective == "sliced":
        return sliced_score_matching(network, x, torch.randn(1, *x.shape, generator=generator))
    # The noise and its opposite: their mean is the same, and the large term n / sigma partly cancels.
    noise = torch.randn(x.shape, generator=generator)
    noise, x = torch.cat([noise, -noise]), torch.cat([x, x])
    return denoising_score_matching(network(x + recipe.sigma * noise), noise, torch.full((len(x),), recipe.sigma))


@torch.no_grad()
def score_error(network: Callable[[Tensor], Tensor], ring: Ring, sigma: float = 0.0, seed: int = 1) -> float:
    """Root mean square error of the score relative to the score's own root mean square, at fresh samples of the
    density blurred by sigma."""
    generator = torch.Generator().manual_seed(seed)
    x = ring.sample(TEST, generator)
    x = x + sigma * torch.randn(x.shape, generator=generator)
    known = ring.score(x, sigma)
    return float(((network(x) - known).square().sum() / known.square().sum()).sqrt())


@torch.no_grad()
def langevin_samples(network: Callable[[Tensor], Tensor], count: int, reach: float, steps: int = 500,
                     size: float = 0.02, seed: int = 2) -> Tensor:
    """[count,2] after `steps` of x + size s(x) + sqrt(2 size) n (Song and Ermon 2019, eq. 4, with size = alpha / 2),
    from the square of half side `reach`."""
    generator = torch.Generator().manual_seed(seed)
    x = reach * (2 * torch.rand(count, 2, generator=generator) - 1)
    for _ in range(steps):
        x = x + size * network(x) + (2 * size) ** 0.5 * torch.randn(x.shape, generator=generator)
    return x
