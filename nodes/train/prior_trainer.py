"""Prior trainer: model, average, optimiser and counters of a training run of a small text-to-image prior."""

from __future__ import annotations

import copy
import math
import os
import pickle
from collections.abc import Callable
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch

from ..core.errors import DistillError
from ..core.silence import silence
from ..core.state import write_atomically
from ..core.view_words import coarse_view, fine_view
from .caption_reading import caption_facts, learn_to_read
from .if_layout import build_text_encoder, build_tokenizer, build_unet, encode_text, save_if_folder
from .sample_sheet import contact_sheet, noise_schedule, sample_prior
from .shape_dataset import ShapeImages

SHEET_PROMPTS = (
    "a red cube, az0 el15",
    "a red cube, az45 el30",
    "a yellow cone, side view",
    "a green torus, az30 el45",
    "a purple torus, az0 el0",
    "a blue sphere on top of a green cylinder, az30 el15",
    "a cyan cone on top of a pink cube, az0 el15",
    "an orange cone on top of a purple cube, az90 el-15",
    "an orange sphere with a blue nose, az0 el15",
    "an orange sphere with a blue nose, az90 el15",
    "a striped red cube, az30 el15",
    "a dotted blue sphere, front view",
)
STATE, PIPELINE = "state.pt", "builtin"  # what a run keeps in its folder, next to the sample sheets


@dataclass(frozen=True)
class PriorRecipe:
    """Numbers of a training run.

    steps, minutes  the budget: steps where given, else minutes of training time
    lr              AdamW's, warmed up, flat until `decay_from` of the budget, then cosine to `lr_floor` of it
    snr_limit       less noise than this signal-to-noise ratio counts less, in proportion to (1 + limit) / (1 + SNR)
    start_boost     at first, timesteps of the last twentieth are drawn this many times as often; back to 1 where the
                    learning rate begins to fall. In nearly pure noise nothing but the text says what is to be seen
    reading_steps   of the text encoder alone, before the first step (see caption_reading)
    ema             decay of the average that is kept; `early_ema` in the first 2000 steps
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
    ema: float = 0.999
    early_ema: float = 0.998
    seed: int = 0
    bf16: bool = False
    checkpoint_minutes: float = 5.0

    def progress(self, step: int, seconds: float) -> float:
        """Fraction of the budget used, from 0 to 1 and beyond."""
        return step / self.steps if self.steps else seconds / (60.0 * self.minutes)

    def boost(self, fraction: float) -> float:
        """How much more often the last timesteps are drawn, at a fraction of the budget."""
        return 1.0 + (self.start_boost - 1.0) * max(0.0, 1.0 - fraction / self.decay_from)

    def learning_rate(self, step: int, fraction: float) -> float:
        """The learning rate of a step at a fraction of the budget."""
        decay = min(1.0, max(0.0, fraction - self.decay_from) / (1.0 - self.decay_from))
        cosine = max(self.lr_floor, 0.5 * (1.0 + math.cos(math.pi * decay)))
        return self.lr * min(1.0, (step + 1) / self.warmup) * cosine


class TrainedPrior(NamedTuple):
    """The averaged model: unet, text_encoder, tokenizer; `save_if_folder(path, *prior)` writes it."""

    unet: torch.nn.Module
    text_encoder: torch.nn.Module
    tokenizer: object


class PriorTrainer:
    """Model, average, optimiser and counters of one run: what a checkpoint holds."""

    def __init__(self, data: ShapeImages, recipe: PriorRecipe, device="cpu"):
        if not len(data.images):
            raise DistillError("Train Prior: the dataset has no images. Raise its size.")
        self.data, self.recipe, self.device = data, recipe, torch.device(device)
        self.step, self.seconds = 0, 0.0
        self.must_read = True  # whether the text encoder has words that it never met
        self.tokenizer = build_tokenizer()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            unet, text_encoder = build_unet(recipe.channels, data.images.shape[1]), build_text_encoder()
        self.model = torch.nn.ModuleDict({"unet": unet, "text_encoder": text_encoder}).to(self.device).train()
        self.model.to(memory_format=torch.channels_last)  # a tenth faster
        self.average = copy.deepcopy(self.model).eval().requires_grad_(False)
        # Without decay, the untrained variance channels of conv_out stay exactly where they start.
        last = list(unet.conv_out.parameters())
        others = [p for p in self.model.parameters() if all(p is not q for q in last)]
        self.optimizer = torch.optim.AdamW(
            [{"params": others}, {"params": last, "weight_decay": 0.0}],
            lr=recipe.lr,
            betas=recipe.betas,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        alphas = noise_schedule().alphas_cumprod.to(self.device)
        self.signal, self.noise = alphas.sqrt(), (1.0 - alphas).sqrt()
        snr = alphas / (1.0 - alphas)
        # Timesteps are drawn as often as they count, which has less variance than weights.
        self.density = ((1.0 + recipe.snr_limit) / (1.0 + snr)).clamp(max=1.0)

    def begin_from(self, folder: str) -> None:
        """Take over the weights of a pipeline folder of the same network; optimiser and counters stay fresh.

        Words are matched by their spelling; those that the folder does not know keep their random values, and only
        where there are such must the text encoder read again: the UNet is used to what it says.
        Raises DistillError when the folder holds another network.
        """
        from diffusers import UNet2DConditionModel
        from transformers import T5EncoderModel

        for name, kind in (("unet", UNet2DConditionModel), ("text_encoder", T5EncoderModel)):
            with silence():
                found = kind.from_pretrained(os.path.join(folder, name), local_files_only=True).float().state_dict()
            if name == "text_encoder":
                self._match_words(found, os.path.join(folder, "tokenizer"))
            try:
                self.model[name].load_state_dict(found)
            except RuntimeError as error:
                raise DistillError(f"Train Prior: the {name} in {folder} is another network than the one that is to be "
                                   "trained. Use the channels and the resolution that it was made with.") from error
            self.average[name].load_state_dict(self.model[name].state_dict())

    def _match_words(self, found, tokenizer):
        """Bring the word vectors of a text encoder's state into the order of our vocabulary, in place."""
        from transformers import AutoTokenizer

        theirs = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True, trust_remote_code=False).get_vocab()
        own = self.model["text_encoder"].shared.weight.detach().cpu().clone()
        self.must_read = not self.tokenizer.get_vocab().keys() <= theirs.keys()
        if found["shared.weight"].shape[1:] == own.shape[1:]:  # else it is another network, which loading will say
            for word, i in self.tokenizer.get_vocab().items():
                if word in theirs:
                    own[i] = found["shared.weight"][theirs[word]]
            for name in found.keys() & {"shared.weight", "encoder.embed_tokens.weight"}:
                found[name] = own

    def learn_to_read(self, callback: Callable | None = None) -> None:
        """Train the text encoder alone for the recipe's reading_steps; see caption_reading."""
        recipe, data = self.recipe, self.data
        facts = caption_facts(data.captions, data.azimuth, data.elevation)
        encoder = self.model["text_encoder"]

        def prompt(rng, row):
            return self._prompt(rng, row) or str(data.captions[row])

        learn_to_read(encoder, self.tokenizer, facts, prompt, recipe.reading_steps, recipe.seed, callback)
        self.average["text_encoder"].load_state_dict(encoder.state_dict())

    def train_step(self, fraction: float) -> float:
        """One optimiser step at a fraction of the budget; returns the loss."""
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, self.step))
        rows = rng.integers(len(self.data.images), size=recipe.batch)
        prompts = [self._prompt(rng, row) for row in rows]
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        x = torch.from_numpy(self.data.images[rows]).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
        density = self.density.clone()
        density[-len(density) // 20:] *= recipe.boost(fraction)
        t = torch.multinomial(density, recipe.batch, replacement=True, generator=generator)
        noise = torch.randn(x.shape, generator=generator, device=self.device)
        alpha, sigma = self.signal[t].view(-1, 1, 1, 1), self.noise[t].view(-1, 1, 1, 1)
        noisy, velocity = alpha * x + sigma * noise, alpha * noise - sigma * x

        for group in self.optimizer.param_groups:
            group["lr"] = recipe.learning_rate(self.step, fraction)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.bf16):
            hidden = encode_text(self.model["text_encoder"], self.tokenizer, prompts)
            predicted = self.model["unet"](noisy, t, hidden).sample[:, :3]
        loss = (predicted.float() - velocity).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip)
        self.optimizer.step()
        self.step += 1
        self._update_average()
        return loss.item()

    def _prompt(self, rng, row):
        """10 % empty, 5 % caption alone, 20 % with coarse and 65 % with fine view words."""
        kind = rng.random()
        if kind < 0.1:
            return ""
        caption = str(self.data.captions[row])
        if kind < 0.15:
            return caption
        view = coarse_view if kind < 0.35 else fine_view
        return f"{caption}, {view(float(self.data.azimuth[row]), float(self.data.elevation[row]))}"

    @torch.no_grad()
    def _update_average(self):
        limit = self.recipe.early_ema if self.step < 2000 else self.recipe.ema
        decay = min(limit, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1.0 - decay)

    def prior(self) -> TrainedPrior:
        """The averaged model."""
        return TrainedPrior(self.average["unet"], self.average["text_encoder"], self.tokenizer)

    def sample_sheet(self) -> torch.Tensor:
        """Samples of SHEET_PROMPTS, [H', W', 3] on the CPU."""
        return contact_sheet(sample_prior(*self.prior(), SHEET_PROMPTS), zoom=4)

    def checkpoint(self, folder: str) -> torch.Tensor:
        """Write STATE, the pipeline folder PIPELINE and a sample sheet; returns the sheet."""
        from PIL import Image

        self.save(os.path.join(folder, STATE))
        save_if_folder(os.path.join(folder, PIPELINE), *self.prior())
        sheet = self.sample_sheet()
        png = BytesIO()
        Image.fromarray((sheet * 255.0 + 0.5).byte().numpy()).save(png, "PNG")
        write_atomically(os.path.join(folder, f"samples_{self.step:06d}.png"), png.getbuffer())
        return sheet

    def save(self, path: str) -> None:
        """Write the state; the file at `path` is the old one or the new one at any moment."""
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
        """Continue from a state. Raises DistillError when it is cut off or belongs to another network or seed."""
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            raise DistillError(
                f"Train Prior: the checkpoint {path} cannot be read ({error}). "
                "It may be cut off: delete it and start again."
            ) from error
        for name in ("channels", "seed", "batch"):
            found, wanted = state["recipe"][name], getattr(self.recipe, name)
            if found != wanted:
                raise DistillError(
                    f"Train Prior: the checkpoint {path} was trained with {name} = {found}, the recipe says {wanted}. "
                    f"Use the same {name} or another folder."
                )
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
