"""CLIP with both towers, from a folder of transformers: what captions and pictures are compared by."""
from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...kernels.image.clip_pixels import DEVIATION, MEAN
from .clip_text import read_tokenizer
from .folder_writer import fresh_folder
from .pipeline_folder import load_network
from .silence import silence


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
