"""Denoising trainer: training of a small diffusion model by the error of what it predicts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import autocast

from ..core.errors import DistillError
from .trainer import Trainer

# What the network predicts and how timesteps are drawn:
#   velocity  alpha n - sigma x, by min(1, (1 + snr_limit) / (1 + SNR))     Salimans and Ho 2022
#   noise     n, timesteps uniform: DDPM's "simple" objective               Ho et al. 2020, eq. 14
#   score     n = -sigma times the score, the noise level uniform in its logarithm, with weight sigma^2 on the score:
#             NCSN's objective, indexed by sigma                            Song and Ermon 2019, eq. 5 and 6
OBJECTIVES = {"velocity": "v_prediction", "noise": "epsilon", "score": "epsilon"}
LARGEST_SIGMA = 50.0  # of NCSN; steps with more noise are drawn as often as the last one below it


@dataclass(frozen=True)
class PriorRecipe:
    """Numbers of a training run.

    steps, minutes  the budget: steps where given, else minutes of training time
    batch           pictures per step; for models of several views a multiple of their number
    lr              AdamW's, warmed up, flat until `decay_from` of the budget, then cosine to `lr_floor` of it
    snr_limit       timesteps above this signal-to-noise ratio count less, in proportion to (1 + limit) / (1 + SNR)
    start_boost     at first, timesteps of the last twentieth are drawn this many times as often; back to 1 where the
                    learning rate begins to fall. In nearly pure noise the text is the only information
    reading_steps   of the text encoder alone, before the first step (see caption_reading)
    autoencoder     of latent models: pipeline folder whose autoencoder is used; "": a new one is trained
    autoencoder_steps  of its training
    ema             decay of the moving average of the weights; `early_ema` in the first 2000 steps
    bf16            autocast, for CUDA
    objective       one of OBJECTIVES; start_boost and snr_limit belong to "velocity"
    """

    steps: int | None = None
    minutes: float = 90.0
    batch: int = 32
    channels: tuple = (32, 64, 96)
    lr: float = 1e-3
    betas: tuple = (0.9, 0.99)
    weight_decay: float = 1e-3
    warmup: int = 100
    decay_from: float = 0.6
    lr_floor: float = 0.02
    clip: float = 1.0
    snr_limit: float = 5.0
    start_boost: float = 6.0
    reading_steps: int = 1500
    autoencoder: str = ""
    autoencoder_steps: int = 2000
    ema: float = 0.999
    early_ema: float = 0.998
    seed: int = 0
    bf16: bool = False
    checkpoint_minutes: float = 5.0
    objective: str = "velocity"

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the budget used, from 0 to 1 and beyond."""
        return step / self.steps if self.steps else seconds / (60.0 * self.minutes)

    def boost(self, fraction: float) -> float:
        """Factor on the probability of the last timesteps, at a fraction of the budget."""
        return 1.0 + (self.start_boost - 1.0) * max(0.0, 1.0 - fraction / self.decay_from)

    def learning_rate(self, step: int, fraction: float) -> float:
        """The learning rate of a step at a fraction of the budget."""
        decay = min(1.0, max(0.0, fraction - self.decay_from) / (1.0 - self.decay_from))
        cosine = max(self.lr_floor, 0.5 * (1.0 + math.cos(math.pi * decay)))
        return self.lr * min(1.0, (step + 1) / self.warmup) * cosine


class Lesson(NamedTuple):
    """The batch of a step: clean z [B,C,h,w] and predict(noisy, t) -> velocity [B,C,h,w]."""

    clean: torch.Tensor
    predict: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class DenoisingTrainer(Trainer):
    """The part of a training run that all diffusion models share; subclasses define networks and batches.

    Networks learn what the recipe's objective says of noised pictures. Timesteps are drawn with probabilities
    proportional to their weights.

    views  consecutive items of a batch that share their timestep
    """

    part, views = "unet", 1

    def __init__(self, recipe: PriorRecipe, device="cpu"):
        if recipe.batch % self.views:
            raise DistillError(f"{self.name}: a batch of {recipe.batch} pictures cannot be divided into groups of "
                               f"{self.views} views. Use a multiple of {self.views}.")
        if recipe.objective not in OBJECTIVES:
            raise DistillError(f'{self.name}: objective "{recipe.objective}" is unknown. Use one of '
                               f'{", ".join(OBJECTIVES)}.')
        super().__init__(recipe, device)
        alphas = self.alphas_cumprod().to(self.device)
        self.signal, self.noise = alphas.sqrt(), (1.0 - alphas).sqrt()
        # Drawing timesteps by their weights has less variance than weighting the loss.
        self.density = timestep_density(alphas, recipe)

    def alphas_cumprod(self) -> torch.Tensor:
        """abar [T], the squared signal coefficient at each timestep."""
        raise NotImplementedError

    def lesson(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        """A batch, drawn with the two generators."""
        raise NotImplementedError

    def train_step(self, fraction: float) -> float:
        """One optimiser step at a fraction of the budget; returns the loss."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, self.step))
        generator = torch.Generator(self.device)
        lesson = self.lesson(rng, generator)
        x = lesson.clean
        density = self.density.clone()
        if recipe.objective == "velocity":
            density[-len(density) // 20:] *= recipe.boost(fraction)
        t = torch.multinomial(density, recipe.batch // self.views, replacement=True, generator=generator)
        t = t.repeat_interleave(self.views)
        noise = torch.randn(x.shape, generator=generator, device=self.device)
        alpha, sigma = self.signal[t].view(-1, 1, 1, 1), self.noise[t].view(-1, 1, 1, 1)
        noisy, target = alpha * x + sigma * noise, noise
        if recipe.objective == "velocity":
            target = alpha * noise - sigma * x
        with autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
            predicted = lesson.predict(noisy, t)
        return self.descend((predicted.float() - target).square().mean(), fraction)


def timestep_density(alphas: torch.Tensor, recipe: PriorRecipe) -> torch.Tensor:
    """How often each timestep is drawn [T], up to a factor, for abar [T]; see OBJECTIVES."""
    if recipe.objective == "velocity":
        snr = alphas / (1.0 - alphas)
        return ((1.0 + recipe.snr_limit) / (1.0 + snr)).clamp(max=1.0)
    if recipe.objective == "noise":
        return torch.ones_like(alphas)
    level = ((1.0 - alphas) / alphas).sqrt()
    share = torch.gradient(level.log())[0]
    last = int((level <= LARGEST_SIGMA).sum()) - 1
    share[last + 1:] = share[last]
    return share
