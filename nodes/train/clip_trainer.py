"""CLIP trainer: a small CLIP, trained contrastively on captioned pictures of shapes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.clip_pixels import normalized
from ..core.errors import DistillError
from ..models.builtin import BUILTIN_CLIP
from ..models.clip_tower import load_clip_folder, save_clip_folder
from .clip_network import build_clip
from .clip_sheet import similarity_sheet
from .clip_vocabulary import write_tokenizer
from .denoising_trainer import PriorRecipe
from .disturb import disturb
from .near_caption import near_caption
from .shape_dataset import ShapeImages
from .trainer import Trainer

LARGEST_SCALE = 100.0  # of the logits (Radford et al. 2021, sec. 2.5)


@dataclass(frozen=True)
class ClipRecipe(PriorRecipe):
    """Numbers of a training run; see PriorRecipe.

    channels    width of both towers, and their numbers of layers: (width, image layers, text layers)
    grey_share  share of pictures without colours, so that shapes are known without them
    """

    minutes: float = 50.0
    batch: int = 128
    channels: tuple = (96, 4, 3)
    weight_decay: float = 0.02
    grey_share: float = 0.12


class ClipTrainer(Trainer):
    """A CLIP in transformers' layout, by the symmetric cross entropy of a batch (Radford et al. 2021, fig. 3).

    Every caption is paired with a similar false one, with two words exchanged or one replaced. Without them, a CLIP
    learns which words occur, but not which colour belongs to which shape (Yuksekgonul et al. 2023).
    """

    name, index, part, shipped = "Train CLIP", "config.json", "config.json", BUILTIN_CLIP

    def __init__(self, data: ShapeImages, recipe: ClipRecipe, device="cpu"):
        if not len(data.images):
            raise DistillError("Train CLIP: the dataset has no images. Raise its size.")
        self.data = data
        super().__init__(recipe, device)

    def networks(self) -> dict[str, torch.nn.Module]:
        network, self.tokenizer = build_clip(self.data.images.shape[1], *self.recipe.channels)
        return {"clip": network}

    def undecayed(self) -> list[torch.nn.Parameter]:
        return [p for p in self.model["clip"].parameters() if p.ndim < 2]

    def begin_from(self, folder: str) -> None:
        found = load_clip_folder(folder, self.name)[0].state_dict()
        try:
            self.model["clip"].load_state_dict(found)
        except RuntimeError as error:
            raise DistillError(f"Train CLIP: the network in {folder} has other sizes than the one to be trained. "
                               "Use the width, layers and resolution that it was made with.") from error
        self.average["clip"].load_state_dict(self.model["clip"].state_dict())

    def train_step(self, fraction: float) -> float:
        recipe = self.recipe
        rng = np.random.default_rng((recipe.seed, self.step))
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        rows = rng.integers(len(self.data.images), size=recipe.batch)
        captions = [str(self.data.captions[row]) for row in rows]
        texts = captions + [near_caption(rng, caption) for caption in captions]
        rgb = torch.from_numpy(self.data.images[rows]).to(self.device).permute(0, 3, 1, 2).float() / 255.0
        clip = self.model["clip"]
        pictures = embed_pixels(clip, normalized(disturb(rgb, recipe.grey_share, generator)))
        words = embed_words(clip, self.tokenizer, texts)
        scale = clip.logit_scale.exp().clamp(max=LARGEST_SCALE)
        return self.descend(contrastive_loss(pictures, words, same_captions(captions, texts).to(self.device), scale),
                            fraction)

    def sample_sheet(self) -> Tensor:
        def embed(rgb, captions):
            clip = self.average["clip"]
            pixels = normalized(rgb.permute(0, 3, 1, 2).to(self.device))
            return embed_pixels(clip, pixels), embed_words(clip, self.tokenizer, captions)

        return similarity_sheet(embed, self.data.images.shape[1])

    def save_pipeline(self, path: str) -> None:
        save_clip_folder(path, self.average["clip"], write_tokenizer)


def embed_pixels(clip: torch.nn.Module, pixels: Tensor) -> Tensor:
    """Unit embeddings [B,P] of normalised pixels [B,3,H,H]."""
    return F.normalize(clip.visual_projection(clip.vision_model(pixels)[1]), dim=-1)


def embed_words(clip: torch.nn.Module, tokenizer: Callable, texts: Sequence[str]) -> Tensor:
    """Unit embeddings [B,P] of texts. Padding does not change them: a token sees those before it."""
    tokens = tokenizer(list(texts), padding="longest", truncation=True, return_tensors="pt").input_ids
    return F.normalize(clip.text_projection(clip.text_model(tokens.to(clip.logit_scale.device))[1]), dim=-1)


def same_captions(captions: Sequence[str], texts: Sequence[str]) -> Tensor:
    """Bool [B,N]: text n equals the caption of row b and has another index, so it is not a false caption."""
    numbers = {text: i for i, text in enumerate(dict.fromkeys(texts))}
    rows, columns = (torch.tensor([numbers[text] for text in each]) for each in (captions, texts))
    same = rows[:, None] == columns
    same[torch.arange(len(rows)), torch.arange(len(rows))] = False
    return same


def contrastive_loss(pictures: Tensor, texts: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Mean of both cross entropies of CLIP.

    pictures [B,P], texts [N,P]  unit; text b is the caption of picture b, texts from B on have no picture
    same     [B,N] pairs that are left out
    scale    of the cosines
    """
    logits = (scale * pictures @ texts.T).masked_fill(same, -torch.inf)
    right = torch.arange(len(pictures), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, right) + F.cross_entropy(logits[:, :len(pictures)].T, right))
