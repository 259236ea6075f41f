"""CLIP's image tower in OpenAI's layout, and its features for models that are conditioned on a picture."""
from __future__ import annotations

import re

import torch
from torch import Tensor

from ...kernels.image.clip_pixels import clip_pixels
from .checkpoint_file import CheckpointFile, read_module
from .clip_text import OPEN_CLIP_NAMES, InMemory, count_layers, expecting


def read_open_ai_vision(source: CheckpointFile, prefix: str, dtype=None, activation: str = "quick_gelu",
                        head: int = 64) -> torch.nn.Module:
    """transformers' CLIPVisionModelWithProjection from the weights below `prefix`, which end in "visual." in whole
    models.

    Every size is read from the shapes. activation, head (channels of an attention head) are not in them: OpenAI's
    towers have quick_gelu and 64, OpenCLIP's ViT-H/14 has gelu and 80. Raises DistillError where there is no such
    tower.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    shapes = source.shapes_below(prefix)
    with expecting(source, "CLIP image tower"):
        width, channels, patch, _ = shapes["conv1.weight"]
        side = round((shapes["positional_embedding"][0] - 1) ** 0.5)
        config = CLIPVisionConfig(
            hidden_size=width, num_channels=channels, patch_size=patch, image_size=side * patch, hidden_act=activation,
            num_attention_heads=max(width // head, 1),
            num_hidden_layers=count_layers(shapes, r"transformer\.resblocks\.(\d+)\."),
            intermediate_size=shapes["transformer.resblocks.0.mlp.c_fc.weight"][0], projection_dim=shapes["proj"][1])
    weights = _under_names_of_transformers({key: source.tensor(full) for key, full in source.below(prefix).items()})
    return read_module(lambda: CLIPVisionModelWithProjection(config), {key: key for key in weights},
                       InMemory(source, weights), lambda key: key, dtype)


_ENDS = {"class_embedding": "embeddings.class_embedding", "conv1.weight": "embeddings.patch_embedding.weight",
         "positional_embedding": "embeddings.position_embedding.weight",
         **{f"{theirs}.{kind}": f"{ours}.{kind}"
            for theirs, ours in (("ln_pre", "pre_layrnorm"), ("ln_post", "post_layernorm"))
            for kind in ("weight", "bias")}}
_BLOCK = re.compile(r"transformer\.resblocks\.(\d+)\.(?:attn\.in_proj_(weight|bias)|(.+)\.(weight|bias))")


def _under_names_of_transformers(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """In OpenAI's layout, query, key and value are one tensor, and the projection is transposed."""
    renamed = {}
    for key, tensor in weights.items():
        match = _BLOCK.fullmatch(key)
        if key == "proj":
            renamed["visual_projection.weight"] = tensor.T
        elif match and match[2]:
            for letter, part in zip("qkv", tensor.chunk(3)):
                renamed[f"vision_model.encoder.layers.{match[1]}.self_attn.{letter}_proj.{match[2]}"] = part
        elif match:
            part = OPEN_CLIP_NAMES.get(match[3], match[3])
            renamed[f"vision_model.encoder.layers.{match[1]}.{part}.{match[4]}"] = tensor
        else:
            renamed["vision_model." + _ENDS.get(key, key)] = tensor
    return renamed


@torch.no_grad()
def embed_pictures(tower: torch.nn.Module, rgb: Tensor) -> Tensor:
    """Projected CLIP embeddings [B,P], not normalised, of square pictures rgb [B,H,H,3] in [0,1]; float32."""
    return tower(clip_pixels(rgb, tower.config.image_size).to(tower.dtype)).image_embeds.float()
