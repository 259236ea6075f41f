"""The layout of the CompVis latent diffusion code (LDM), in which most single-file checkpoints are published.

Every size is read from the shapes of the weights, and the networks themselves are diffusers' and transformers'.
Numbers of attention heads leave no trace in shapes: Stable Diffusion 1 has 8 heads everywhere and keeps proj_in as a
1x1 convolution; Stable Diffusion 2 and XL have heads of 64 channels and a linear proj_in.
"""
from __future__ import annotations

import re
from typing import Any, Callable

from ..core.errors import DistillError
from .checkpoint_file import CheckpointFile, read_module

UNET = "model.diffusion_model."
VAE = "first_stage_model."

Shapes = dict[str, tuple[int, ...]]


def unet_config(shapes: Shapes, name: str) -> dict[str, Any]:
    """Arguments of diffusers' UNet2DConditionModel for the shapes of an LDM UNet (names without prefix).

    Raises DistillError, beginning with `name`, where the shapes are not those of such a UNet.
    """
    try:
        return _unet_config(shapes)
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise DistillError(f"{name}: the file holds no UNet in the layout of Stable Diffusion (at {error}). Choose the "
                           "checkpoint of a model of that family.") from error


def _unet_config(shapes):
    first = shapes["input_blocks.0.0.weight"]
    levels, depths, layers = _levels(shapes)
    linear = any(len(shape) == 2 for key, shape in shapes.items() if key.endswith(".proj_in.weight"))
    context = next(shapes[key][1] for key in shapes if key.endswith("attn2.to_k.weight"))
    config = {
        "in_channels": first[1], "out_channels": shapes["out.2.weight"][0], "block_out_channels": tuple(levels),
        "layers_per_block": layers, "cross_attention_dim": context, "use_linear_projection": linear,
        # diffusers calls the number of heads attention_head_dim.
        "attention_head_dim": tuple(max(width // 64, 1) for width in levels) if linear else 8,
        "transformer_layers_per_block": tuple(max(depth, 1) for depth in depths),
        "down_block_types": tuple("CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths),
        "up_block_types": tuple("CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)),
    }
    middle = _depth(shapes, "middle_block.1")
    if middle != config["transformer_layers_per_block"][-1]:
        # Stable Diffusion has no attention in its last level and one block of it in the middle: diffusers reads the
        # depth of the middle from the last level, which is unused there.
        config["transformer_layers_per_block"] = (*config["transformer_layers_per_block"][:-1], middle)
    if "label_emb.0.0.weight" in shapes:  # Stable Diffusion XL: pooled text and sizes
        config |= {"addition_embed_type": "text_time", "addition_time_embed_dim": 256,
                   "projection_class_embeddings_input_dim": shapes["label_emb.0.0.weight"][1]}
    elif "camera_embed.0.weight" in shapes:  # MVDream: a camera per image
        config |= {"class_embed_type": "projection",
                   "projection_class_embeddings_input_dim": shapes["camera_embed.0.weight"][1]}
    return config


def _levels(shapes):
    """Channels and attention depth of every resolution, and the number of residual blocks at each."""
    channels, depths, blocks = [], [], []
    index = 1
    width = depth = count = 0
    while any(key.startswith(f"input_blocks.{index}.") for key in shapes):
        if f"input_blocks.{index}.0.op.weight" in shapes:
            channels.append(width), depths.append(depth), blocks.append(count)
            depth = count = 0
        else:
            width = shapes[f"input_blocks.{index}.0.out_layers.3.weight"][0]
            depth, count = max(depth, _depth(shapes, f"input_blocks.{index}.1")), count + 1
        index += 1
    channels.append(width), depths.append(depth), blocks.append(count)
    if len(set(blocks)) != 1:
        raise ValueError(f"{blocks} residual blocks per resolution")
    return channels, depths, blocks[0]


def _depth(shapes, attention):
    """Number of transformer blocks in an attention module."""
    found = re.compile(re.escape(attention) + r"\.transformer_blocks\.(\d+)\.")
    return max((int(match[1]) + 1 for key in shapes if (match := found.match(key))), default=0)


_RESNET = {"in_layers.0": "norm1", "in_layers.2": "conv1", "emb_layers.1": "time_emb_proj", "out_layers.0": "norm2",
           "out_layers.3": "conv2", "skip_connection": "conv_shortcut"}
_UNET_ENDS = {"time_embed.0": "time_embedding.linear_1", "time_embed.2": "time_embedding.linear_2",
              "label_emb.0.0": "add_embedding.linear_1", "label_emb.0.2": "add_embedding.linear_2",
              "camera_embed.0": "class_embedding.linear_1", "camera_embed.2": "class_embedding.linear_2",
              "input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}


def unet_renaming(layers: int) -> Callable[[str], str | None]:
    """LDM's name of a UNet weight -> diffusers', for `layers` residual blocks per resolution. None: no such weight."""
    def rename(key: str) -> str | None:
        module, _, kind = key.rpartition(".")
        if module in _UNET_ENDS:
            return f"{_UNET_ENDS[module]}.{kind}"
        match = re.fullmatch(r"(input_blocks|output_blocks)\.(\d+)\.(\d+)\.(.+)", key)
        if match:
            side, index, part, rest = match[1], int(match[2]), int(match[3]), match[4]
            if side == "input_blocks":
                level, place = divmod(index - 1, layers + 1)
                block = f"down_blocks.{level}"
                if place == layers:
                    return f"{block}.downsamplers.0.conv.{rest.removeprefix('op.')}" if rest.startswith("op.") else None
            else:
                level, place = divmod(index, layers + 1)
                block = f"up_blocks.{level}"
                if rest.startswith("conv."):
                    return f"{block}.upsamplers.0.{rest}"
        else:
            match = re.fullmatch(r"middle_block\.(\d)\.(.+)", key)
            if not match:
                return None
            block, part, rest = "mid_block", int(match[1]), match[2]
            place = part // 2
            part = part % 2
            if part:
                place = 0
        if part == 0:
            for theirs, ours in _RESNET.items():
                if rest.startswith(theirs + "."):
                    return f"{block}.resnets.{place}.{ours}{rest[len(theirs):]}"
            return None
        return f"{block}.attentions.{place}.{rest}"
    return rename


def read_unet(source: CheckpointFile, prefix: str = UNET, average: bool = False, build=None, dtype=None):
    """diffusers' UNet2DConditionModel with the weights below `prefix`.

    average  take the exponential average of every weight that the file keeps one of
    build    build(config) -> the module, UNet2DConditionModel(**config) unless given
    """
    from diffusers import UNet2DConditionModel

    shapes = source.shapes_below(prefix)
    config = unet_config(shapes, source.name)
    weights = source.below(prefix)
    if average:
        weights = {short: source.average_of(key) for short, key in weights.items()}
    make = build or (lambda config: UNet2DConditionModel(**config))
    return read_module(lambda: make(config), weights, source, unet_renaming(config["layers_per_block"]), dtype)


def vae_config(shapes: Shapes, name: str) -> dict[str, Any]:
    """Arguments of diffusers' AutoencoderKL for the shapes of an LDM autoencoder (names without prefix)."""
    try:
        levels = sum(bool(re.fullmatch(r"encoder\.down\.\d+\.block\.0\.conv1\.weight", key)) for key in shapes)
        channels = tuple(shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in range(levels))
        layers = sum(bool(re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", key)) for key in shapes)
        latent = shapes["post_quant_conv.weight"][1]
        return {"in_channels": shapes["encoder.conv_in.weight"][1],
                "out_channels": shapes["decoder.conv_out.weight"][0], "latent_channels": latent,
                "block_out_channels": channels, "layers_per_block": layers,
                "down_block_types": ("DownEncoderBlock2D",) * levels, "up_block_types": ("UpDecoderBlock2D",) * levels}
    except (KeyError, IndexError) as error:
        raise DistillError(f"{name}: the file holds no autoencoder in the layout of Stable Diffusion (at {error}). "
                           "Choose a checkpoint that includes its VAE, or give a VAE of its own.") from error


_VAE_NAMES = ((r"nin_shortcut", "conv_shortcut"), (r"mid\.block_1", "mid_block.resnets.0"),
              (r"mid\.block_2", "mid_block.resnets.1"), (r"mid\.attn_1\.norm", "mid_block.attentions.0.group_norm"),
              (r"mid\.attn_1\.proj_out", "mid_block.attentions.0.to_out.0"),
              (r"mid\.attn_1\.([qkv])\.", r"mid_block.attentions.0.to_\1."), (r"norm_out", "conv_norm_out"),
              (r"(?<=encoder\.)down\.(\d+)\.block\.(\d+)", r"down_blocks.\1.resnets.\2"),
              (r"(?<=encoder\.)down\.(\d+)\.downsample", r"down_blocks.\1.downsamplers.0"))


def vae_renaming(levels: int) -> Callable[[str], str | None]:
    """LDM's name of an autoencoder's weight -> diffusers'."""
    def rename(key: str) -> str | None:
        if key.startswith("loss."):  # the discriminator of its training
            return None
        match = re.fullmatch(r"decoder\.up\.(\d+)\.(?:block\.(\d+)|(upsample))\.(.+)", key)
        if match:
            part = "upsamplers.0" if match[3] else f"resnets.{match[2]}"
            key = f"decoder.up_blocks.{levels - 1 - int(match[1])}.{part}.{match[4]}"
        for pattern, replacement in _VAE_NAMES:
            key = re.sub(pattern, replacement, key)
        return key
    return rename


def read_vae(source: CheckpointFile, prefix: str = VAE, scaling: float = 0.18215, dtype=None, pictures: int = 3):
    """diffusers' AutoencoderKL with the weights below `prefix`; scaling is its latent scaling factor, pictures the
    number of channels that it must take."""
    from diffusers import AutoencoderKL

    shapes = source.shapes_below(prefix)
    is_diffusers = "encoder.mid_block.resnets.0.conv1.weight" in shapes
    config = (_diffusers_vae_config(shapes) if is_diffusers else vae_config(shapes, source.name))
    config |= {"scaling_factor": scaling}
    if config["in_channels"] != pictures:
        hint = ("one for normals and depth: use the Normal-Depth Prior node"
                if config["in_channels"] == 4 else "another model")
        raise DistillError(f"{source.name}: the autoencoder in {source.path} takes pictures of {config['in_channels']} "
                           f"channels, not {pictures}. It is {hint}.")
    rename = _diffusers_vae_renaming if is_diffusers else vae_renaming(len(config["block_out_channels"]))
    return read_module(lambda: AutoencoderKL(**config), source.below(prefix), source, rename, dtype)


def _diffusers_vae_config(shapes: Shapes) -> dict[str, Any]:
    """As `vae_config`, for names of diffusers."""
    found = re.compile(r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\.weight")
    blocks = [(int(match[1]), int(match[2])) for key in shapes if (match := found.fullmatch(key))]
    levels = 1 + max(level for level, _ in blocks)
    return {"in_channels": shapes["encoder.conv_in.weight"][1], "out_channels": shapes["decoder.conv_out.weight"][0],
            "latent_channels": shapes["decoder.conv_in.weight"][1],
            "block_out_channels": tuple(shapes[f"encoder.down_blocks.{level}.resnets.0.conv1.weight"][0]
                                        for level in range(levels)),
            "layers_per_block": 1 + max(block for _, block in blocks),
            "down_block_types": ("DownEncoderBlock2D",) * levels, "up_block_types": ("UpDecoderBlock2D",) * levels}


_OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # diffusers before 0.15


def _diffusers_vae_renaming(key: str) -> str:
    head, _, kind = key.rpartition(".")
    stem, _, last = head.rpartition(".")
    return f"{stem}.{_OLD_ATTENTION[last]}.{kind}" if ".attentions." in key and last in _OLD_ATTENTION else key
