"""Prior trainer: a small text-to-image prior in the layout of DeepFloyd IF stage I."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from ..core.errors import DistillError
from ..core.view_words import coarse_view, fine_view
from ..models.builtin import BUILTIN_FOLDER
from ..models.silence import silence
from .caption_reading import caption_facts, learn_to_read
from .denoising_trainer import OBJECTIVES, DenoisingTrainer, Lesson, PriorRecipe
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


class TrainedPrior(NamedTuple):
    """The averaged model: unet, text_encoder, tokenizer; `save_if_folder(path, *prior)` writes it."""

    unet: torch.nn.Module
    text_encoder: torch.nn.Module
    tokenizer: object


class PriorTrainer(DenoisingTrainer):
    """A text-to-image prior in the layout of DeepFloyd IF stage I, from pictures with captions."""

    name, index, shipped = "Train Prior", "model_index.json", BUILTIN_FOLDER

    def __init__(self, data: ShapeImages, recipe: PriorRecipe, device="cpu"):
        if not len(data.images):
            raise DistillError("Train Prior: the dataset has no images. Raise its size.")
        self.data = data
        self.tokenizer = build_tokenizer()
        super().__init__(recipe, device)

    def networks(self) -> dict[str, torch.nn.Module]:
        return {"unet": build_unet(self.recipe.channels, self.data.images.shape[1]),
                "text_encoder": build_text_encoder()}

    def undecayed(self) -> list[torch.nn.Parameter]:
        # Without decay, the untrained variance channels of conv_out stay exactly where they start.
        return list(self.model["unet"].conv_out.parameters())

    def alphas_cumprod(self) -> torch.Tensor:
        return noise_schedule().alphas_cumprod

    def begin_from(self, folder: str) -> None:
        """Load the weights of a pipeline folder of the same network; optimiser and counters start anew.

        Words are matched by their spelling. Words that the folder lacks keep their random values; only then is the text
        encoder pretrained again, because the UNet is adapted to its output.
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
                raise DistillError(f"Train Prior: the {name} in {folder} has other sizes than the one to be trained. "
                                   "Use the channels and the resolution that it was made with.") from error
            self.average[name].load_state_dict(self.model[name].state_dict())

    def _match_words(self, found, tokenizer):
        """Reorder the word vectors of a text encoder's state to our vocabulary, in place."""
        from transformers import AutoTokenizer

        theirs = AutoTokenizer.from_pretrained(tokenizer, local_files_only=True, trust_remote_code=False).get_vocab()
        own = self.model["text_encoder"].shared.weight.detach().cpu().clone()
        self.must_read = not self.tokenizer.get_vocab().keys() <= theirs.keys()
        if found["shared.weight"].shape[1:] == own.shape[1:]:  # else it is another network, and loading raises
            for word, i in self.tokenizer.get_vocab().items():
                if word in theirs:
                    own[i] = found["shared.weight"][theirs[word]]
            for name in found.keys() & {"shared.weight", "encoder.embed_tokens.weight"}:
                found[name] = own

    def prepare(self, callback: Callable | None = None) -> None:
        """Train the text encoder alone for the recipe's reading_steps; see caption_reading."""
        recipe, data = self.recipe, self.data
        if not recipe.reading_steps:
            return
        facts = caption_facts(data.captions, data.azimuth, data.elevation)
        encoder = self.model["text_encoder"]

        def prompt(rng, row):
            return self._prompt(rng, row) or str(data.captions[row])

        def encode(texts):
            return encode_text(encoder, self.tokenizer, texts)

        learn_to_read(encoder, encode, facts, prompt, recipe.reading_steps, recipe.seed, callback)
        self.average["text_encoder"].load_state_dict(encoder.state_dict())

    def lesson(self, rng: np.random.Generator, generator: torch.Generator) -> Lesson:
        rows = rng.integers(len(self.data.images), size=self.recipe.batch)
        prompts = [self._prompt(rng, row) for row in rows]
        generator.manual_seed(int(rng.integers(2**62)))
        x = torch.from_numpy(self.data.images[rows]).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1.0

        def predict(noisy, t):
            hidden = encode_text(self.model["text_encoder"], self.tokenizer, prompts)
            return self.model["unet"](noisy, t, hidden).sample[:, :3]

        return Lesson(x, predict)

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

    def prior(self) -> TrainedPrior:
        """The averaged model."""
        return TrainedPrior(self.average["unet"], self.average["text_encoder"], self.tokenizer)

    def sample_sheet(self) -> torch.Tensor:
        """Samples of SHEET_PROMPTS, [H', W', 3] on the CPU."""
        return contact_sheet(sample_prior(*self.prior(), SHEET_PROMPTS, prediction=self.prediction), zoom=4)

    def save_pipeline(self, path: str) -> None:
        save_if_folder(path, *self.prior(), self.prediction)

    @property
    def prediction(self) -> str:
        """What the network predicts, as diffusers names it."""
        return OBJECTIVES[self.recipe.objective]
