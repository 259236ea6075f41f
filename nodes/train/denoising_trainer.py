"""Denoising trainer: networks, their moving average, optimiser and counters of a training run of a small diffusion
model."""

from __future__ import annotations

import copy
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import autocast

from ..core.errors import DistillError
from ..core.state import write_atomically

STATE, PIPELINE = "state.pt", "builtin"  # files in the folder of a run, next to the sample sheets


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


class DenoisingTrainer:
    """The part of a training run that is independent of the model; subclasses define networks and batches.

    Networks learn the velocity of noised pictures (Salimans and Ho 2022). Timesteps are drawn with probabilities
    proportional to their weights.

    name     of the node, for errors
    index    file of a pipeline that is written last
    shipped  folder of the weights that come with the pack
    views    consecutive items of a batch that share their timestep
    """

    name: str
    index: str
    shipped: Path
    views = 1

    def __init__(self, recipe: PriorRecipe, device="cpu"):
        self.recipe, self.device = recipe, torch.device(device)
        self.step, self.seconds = 0, 0.0
        self.must_read = True  # whether `prepare` has to run before the first step
        if recipe.batch % self.views:
            raise DistillError(f"{self.name}: a batch of {recipe.batch} pictures cannot be divided into groups of "
                               f"{self.views} views. Use a multiple of {self.views}.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.model = torch.nn.ModuleDict(self.networks()).to(self.device).train()
        self.model.to(memory_format=torch.channels_last)  # a tenth faster
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        kept = list(self.undecayed())
        others = [p for p in self.model.parameters() if p.requires_grad and all(p is not q for q in kept)]
        groups = [{"params": others}, {"params": kept, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=recipe.lr,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        alphas = self.alphas_cumprod().to(self.device)
        self.signal, self.noise = alphas.sqrt(), (1.0 - alphas).sqrt()
        snr = alphas / (1.0 - alphas)
        # Drawing timesteps by their weights has less variance than weighting the loss.
        self.density = ((1.0 + recipe.snr_limit) / (1.0 + snr)).clamp(max=1.0)

    def networks(self) -> dict[str, torch.nn.Module]:
        """New networks by name; those without gradients are not trained."""
        raise NotImplementedError

    def undecayed(self) -> list[torch.nn.Parameter]:
        """Parameters of `model` without weight decay."""
        return []

    def alphas_cumprod(self) -> torch.Tensor:
        """abar [T], the squared signal coefficient at each timestep."""
        raise NotImplementedError

    def lesson(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        """A batch, drawn with the two generators."""
        raise NotImplementedError

    def sample_sheet(self) -> torch.Tensor:
        """Samples of the averaged model, [H', W', 3] on the CPU."""
        raise NotImplementedError

    def save_pipeline(self, path: str) -> None:
        """Write the averaged model as a folder that a prior loads, replacing what is at `path`."""
        raise NotImplementedError

    def begin_from(self, folder: str) -> None:
        """Load the weights of a pipeline folder of the same networks; optimiser and counters start anew.

        Raises DistillError when the folder holds other networks.
        """
        raise NotImplementedError

    def prepare(self, callback: Callable | None = None) -> None:
        """Pretraining before the first step, where `must_read`; callback(step, steps, loss)."""

    def train_step(self, fraction: float) -> float:
        """One optimiser step at a fraction of the budget; returns the loss."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, self.step))
        generator = torch.Generator(self.device)
        lesson = self.lesson(rng, generator)
        x = lesson.clean
        density = self.density.clone()
        density[-len(density) // 20:] *= recipe.boost(fraction)
        t = torch.multinomial(density, recipe.batch // self.views, replacement=True, generator=generator)
        t = t.repeat_interleave(self.views)
        noise = torch.randn(x.shape, generator=generator, device=self.device)
        alpha, sigma = self.signal[t].view(-1, 1, 1, 1), self.noise[t].view(-1, 1, 1, 1)
        noisy, velocity = alpha * x + sigma * noise, alpha * noise - sigma * x

        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.step, fraction)
        with autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
            predicted = lesson.predict(noisy, t)
        loss = (predicted.float() - velocity).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.item()

    @torch.no_grad()
    def _update_average(self):
        limit = self.recipe.early_ema if self.step < 2000 else self.recipe.ema
        decay = min(limit, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1.0 - decay)

    def checkpoint(self, folder: str) -> torch.Tensor:
        """Write STATE, the pipeline folder PIPELINE and a sample sheet; returns the sheet."""
        from PIL import Image

        self.save(os.path.join(folder, STATE))
        self.save_pipeline(os.path.join(folder, PIPELINE))
        sheet = self.sample_sheet()
        png = BytesIO()
        Image.fromarray((sheet * 255.0 + 0.5).byte().numpy()).save(png, "PNG")
        write_atomically(os.path.join(folder, f"samples_{self.step:06d}.png"), png.getbuffer())
        return sheet

    def save(self, path: str) -> None:
        """Write the state atomically: the file at `path` is always the old one or the new one."""
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "recipe": asdict(self.recipe),
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        data = BytesIO()
        torch.save(state, data)
        write_atomically(path, data.getbuffer())

    def load(self, path: str) -> None:
        """Continue from a state. Raises DistillError when it is incomplete or belongs to another network or seed."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise DistillError(
                f"{self.name}: the checkpoint {path} cannot be read ({error}). "
                "It may be incomplete: delete it and start again."
            ) from error
        for name in ("channels", "seed", "batch"):
            found, wanted = state["recipe"][name], getattr(self.recipe, name)
            if found != wanted:
                raise DistillError(
                    f"{self.name}: the checkpoint {path} was trained with {name} = {found}, the recipe has {wanted}. "
                    f"Use the same {name} or another folder."
                )
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
        except RuntimeError as error:
            raise DistillError(f"{self.name}: the checkpoint {path} is of another kind of prior. Use another "
                               "folder.") from error
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
