"""CLIP with both towers, and DINO, from folders of transformers: embeddings of pictures and captions."""
from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.clip_pixels import DEVIATION, MEAN, tower_pixels
from ..core.errors import DistillError
from .clip_text import read_tokenizer
from .folder_writer import fresh_folder
from .pipeline_folder import load_network, read_json
from .silence import silence

# Kinds of image towers without language, by "model_type" in config.json: transformers' class.
PICTURE_TOWERS = {"dinov2": "Dinov2Model", "vit": "ViTModel", "clip_vision_model": "CLIPVisionModel"}


def load_tower(folder: str | os.PathLike, name: str, device: torch.device) -> "PictureTower":
    """The tower in a folder of transformers: CLIP (openai/clip-vit-base-patch32, -patch16, -large-patch14 and others of
    this layout), DINOv2 (facebook/dinov2-base), DINO (facebook/dino-vitb16).

    Raises DistillError, beginning with the node's `name`, for a folder that is incomplete or of another kind.
    """
    import transformers

    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise DistillError(f"{name}: {folder} has no config.json. Choose the folder of a CLIP or DINO model, as "
                           "transformers saves it.")
    kind = read_json(folder / "config.json", name).get("model_type")
    numbers = _pixels_of(folder, name)
    if kind == "clip":
        network, tokenizer = load_clip_folder(folder, name)
        return ClipTower(network.to(device), tokenizer, numbers)
    if kind not in PICTURE_TOWERS:
        raise DistillError(f'{name}: {folder} holds a model of the kind "{kind}". Known are: clip, '
                           f'{", ".join(PICTURE_TOWERS)}.')
    with silence():
        return PictureTower(load_network(getattr(transformers, PICTURE_TOWERS[kind]), folder, name).to(device), numbers)


def _pixels_of(folder: Path, name: str) -> tuple[Sequence[float], Sequence[float], int | None]:
    """Mean, deviation and side of the pictures; CLIP's numbers, and None, where the folder does not say."""
    path = folder / "preprocessor_config.json"
    said = read_json(path, name) if path.is_file() else {}
    crop = said.get("crop_size")
    side = crop.get("height") if isinstance(crop, dict) else crop
    return tuple(said.get("image_mean", MEAN)), tuple(said.get("image_std", DEVIATION)), side


class PictureTower:
    """A Tower (nodes.core.tower) of transformers without a text encoder. Its embedding is the class token."""

    has_text = False

    def __init__(self, network: torch.nn.Module, numbers: tuple = (MEAN, DEVIATION, None)):
        self.network, (self.mean, self.deviation, side) = network, numbers
        config = getattr(network.config, "vision_config", network.config)
        self.name, self.side, self.layers = type(network).__name__, side or config.image_size, config.num_hidden_layers

    @property
    def vision(self) -> torch.nn.Module:
        return self.network

    def _see(self, rgb: Tensor, **options: Any) -> Any:
        pixels = tower_pixels(rgb.to(self.network.device), self.side, self.mean, self.deviation)
        return self.vision(pixels.to(self.network.dtype), **options)

    def embed_pictures(self, rgb: Tensor) -> Tensor:
        return F.normalize(self._see(rgb).last_hidden_state[:, 0].float(), dim=-1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        raise DistillError(f"{self.name}: this network has no text encoder. Use a CLIP.")

    def features(self, rgb: Tensor, layer: int) -> Tensor:
        states = self._see(rgb, output_hidden_states=True).hidden_states
        if not -len(states) <= layer < len(states):
            raise DistillError(f"{self.name}: there is no layer {layer}; this network has {self.layers}.")
        return states[layer].float()

    def release(self) -> None:
        return None


class ClipTower(PictureTower):
    """A Tower of transformers' CLIPModel."""

    has_text = True

    def __init__(self, network: torch.nn.Module, tokenizer: Any, numbers: tuple = (MEAN, DEVIATION, None)):
        super().__init__(network, numbers)
        self.tokenizer = tokenizer

    @property
    def vision(self) -> torch.nn.Module:
        return self.network.vision_model

    def embed_pictures(self, rgb: Tensor) -> Tensor:
        return F.normalize(self.network.visual_projection(self._see(rgb)[1]).float(), dim=-1)

    @torch.no_grad()
    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        tokens = self.tokenizer(list(texts), padding="longest", truncation=True, max_length=77, return_tensors="pt")
        pooled = self.network.text_model(tokens.input_ids.to(self.network.device))[1]
        return F.normalize(self.network.text_projection(pooled).float(), dim=-1)


def load_clip_folder(folder: str | os.PathLike, name: str) -> tuple[torch.nn.Module, Any]:
    """transformers' CLIPModel, frozen, and its tokenizer from a folder such as openai/clip-vit-base-patch32. Raises
    DistillError, beginning with the node's `name`, where the folder is incomplete."""
    from transformers import CLIPModel

    folder = Path(folder)
    with silence():
        return load_network(CLIPModel, folder, name), read_tokenizer(folder, name)


def save_clip_folder(path: str | os.PathLike, clip: torch.nn.Module, write_tokenizer: Callable[[str], None]) -> None:
    """Write a CLIPModel in half precision with tokenizer and preprocessor, replacing what is at `path`. The folder
    appears whole, and transformers' CLIPModel and CLIPProcessor load it.

    write_tokenizer  writes the tokenizer's files into a folder
    """
    side = clip.config.vision_config.image_size
    with fresh_folder(path) as fresh, silence():
        copy.deepcopy(clip).to("cpu", torch.float16, memory_format=torch.contiguous_format).save_pretrained(
            fresh, safe_serialization=True)
        write_tokenizer(fresh)
        Path(fresh, "preprocessor_config.json").write_text(json.dumps({
            "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": side},
            "do_center_crop": True, "crop_size": {"height": side, "width": side}, "do_rescale": True,
            "do_normalize": True, "image_mean": MEAN, "image_std": DEVIATION, "resample": 3}, indent=1),
            encoding="utf-8")
