"""Families of text-to-image transformers in diffusers folders: what differs between Stable Diffusion 3, Flux and the
like."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..core.prior import TextCondition
from .clip_text import ClipText, read_tokenizer
from .pipeline_folder import load_network, read_json
from .t5_text import T5Text, TextEncoder, move


class Family(Protocol):
    """One family. It has no state: networks are arguments.

    pipeline     _class_name in model_index.json
    transformer  class of diffusers, below "transformer"
    patch        latent pixels along the side of a token
    half         the half precision that it was published in
    """

    pipeline: str
    transformer: str
    patch: int
    half: torch.dtype

    def read_texts(self, folder: "ModelFolder") -> TextEncoder:
        """Loads the text encoders."""

    def predict(self, network: torch.nn.Module, z_t: Tensor, time: Tensor, condition: TextCondition,
                guidance: float) -> Tensor:
        """What the transformer predicts [N,C,h,w], in its own dtype.

        z_t        [N,C,h,w] noisy latents in the dtype of the network
        time       [N] its timestep, see models.noise.Noise.time
        condition  N rows in the dtype of the network
        guidance   scale that models distilled from guided ones take as an input
        """


@dataclass(frozen=True)
class ModelFolder:
    """A diffusers folder, and how its text encoders are loaded.

    dtype    of T5; CLIP is small and computes in float32
    name     begins error messages
    is_8bit  T5 in 8 bits by bitsandbytes, on CUDA
    """

    path: Path
    device: torch.device
    dtype: torch.dtype
    name: str
    is_8bit: bool = False

    def config(self, part: str) -> dict[str, Any]:
        return read_json(self.path / part / "config.json", self.name)

    def has(self, part: str) -> bool:
        return (self.path / part).is_dir()

    def clip(self, part: str = "", is_projected: bool = True) -> ClipText:
        """The CLIP text encoder below "text_encoder" + part: hidden states of the last layer but one, and the pooled
        text."""
        from transformers import CLIPTextModel, CLIPTextModelWithProjection

        kind = CLIPTextModelWithProjection if is_projected else CLIPTextModel
        model = move(load_network(kind, self.path / f"text_encoder{part}", self.name), self.device)
        return ClipText(model, read_tokenizer(self.path / f"tokenizer{part}", self.name), "penultimate")

    def t5(self, part: str, tokens: int, **options: Any) -> T5Text:
        """The T5 text encoder below "text_encoder" + part. tokens, options: see T5Text."""
        return T5Text(self.path, self.device, self.dtype, self.name, self.is_8bit, part, tokens, **options)
