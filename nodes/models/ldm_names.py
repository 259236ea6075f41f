"""Names of a UNet's weights in the latent diffusion code (LDM), in which MVDream and its descendants are published."""

from __future__ import annotations

import re
from typing import Callable

_ENDS = {"time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
         "class_embedding.linear_1": "camera_embed.0", "class_embedding.linear_2": "camera_embed.2",
         "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2"}
_RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
           "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}


def ldm_state(state: dict, layers: int) -> dict:
    """A UNet's state dict under LDM's names, for `layers` residual blocks per resolution.

    The other way round than unet_renaming of the priors. Raises KeyError for weights that LDM does not have.
    """
    rename = _renaming(layers)
    renamed = {rename(key): tensor for key, tensor in state.items()}
    attentions = {".".join(key.split(".")[:2])
                  for key in renamed if re.match(r"output_blocks\.\d+\.1\.transformer_blocks", key)}
    return {key.format(place=2 if ".".join(key.split(".")[:2]) in attentions else 1): tensor
            for key, tensor in renamed.items()}


def _renaming(layers: int) -> Callable[[str], str]:
    def rename(key: str) -> str:
        module, _, kind = key.rpartition(".")
        if module in _ENDS:
            return f"{_ENDS[module]}.{kind}"
        match = re.fullmatch(
            r"(down_blocks|up_blocks|mid_block)(?:\.(\d+))?\.(resnets|attentions|downsamplers|upsamplers)"
                             r"\.(\d+)\.(.+)", key)
        if not match:
            raise KeyError(key)
        side, level, part, place, rest = match[1], int(match[2] or 0), match[3], int(match[4]), match[5]
        if part == "resnets":
            name, _, kind = rest.rpartition(".")
            rest = f"{_RESNET[name]}.{kind}"
        if side == "mid_block":
            return f"middle_block.{1 if part == 'attentions' else 2 * place}.{rest}"
        if side == "down_blocks":
            index = level * (layers + 1) + place + 1
            if part == "downsamplers":
                return f"input_blocks.{(level + 1) * (layers + 1)}.0.{rest.replace('conv.', 'op.')}"
            return f"input_blocks.{index}.{int(part == 'attentions')}.{rest}"
        index = level * (layers + 1) + place
        if part == "upsamplers":
            # Behind the last block of its resolution, and behind its attention where there is one: see ldm_state.
            return f"output_blocks.{level * (layers + 1) + layers}.{{place}}.{rest}"
        return f"output_blocks.{index}.{int(part == 'attentions')}.{rest}"

    return rename
