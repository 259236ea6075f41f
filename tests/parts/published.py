"""Names and shapes of published checkpoints, which loaders must accept, written from their layout."""

from pathlib import Path

import torch

from distill3d.nodes.models.checkpoint_file import CheckpointFile


class ShapesOnly(CheckpointFile):
    """A published file by names and shapes, its tensors on no device; remembers which were asked for."""

    def __init__(self, shapes, path="published.ckpt", name="test"):
        self.path, self.name, self.shapes, self.asked = Path(path), name, shapes, []

    def tensor(self, key):
        self.asked.append(key)
        return torch.empty(self.shapes[key], device="meta")


def with_prefix(prefix, shapes):
    return {prefix + key: shape for key, shape in shapes.items()}


def ldm_unet(width=320, multipliers=(1, 2, 4, 4), layers=2, depths=(1, 1, 1, 0), middle=1, context=768, linear=False,
             inputs=4, outputs=4, pooled=None, camera=None):
    """Shapes of an LDM UNet: Stable Diffusion 1.5 unless told otherwise."""
    time = 4 * width
    shapes = {}

    def weights(name, *shape, bias=True):
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = shape[:1]

    def resnet(name, into, out):
        weights(f"{name}.in_layers.0", into)
        weights(f"{name}.in_layers.2", out, into, 3, 3)
        weights(f"{name}.emb_layers.1", out, time)
        weights(f"{name}.out_layers.0", out)
        weights(f"{name}.out_layers.3", out, out, 3, 3)
        if into != out:
            weights(f"{name}.skip_connection", out, into, 1, 1)

    def attention(name, channels, depth):
        square = (channels, channels) if linear else (channels, channels, 1, 1)
        weights(f"{name}.norm", channels)
        weights(f"{name}.proj_in", *square)
        for i in range(depth):
            block = f"{name}.transformer_blocks.{i}"
            for part, keys in (("attn1", channels), ("attn2", context)):
                weights(f"{block}.{part}.to_q", channels, channels, bias=False)
                weights(f"{block}.{part}.to_k", channels, keys, bias=False)
                weights(f"{block}.{part}.to_v", channels, keys, bias=False)
                weights(f"{block}.{part}.to_out.0", channels, channels)
            weights(f"{block}.ff.net.0.proj", 8 * channels, channels)
            weights(f"{block}.ff.net.2", channels, 4 * channels)
            for norm in ("norm1", "norm2", "norm3"):
                weights(f"{block}.{norm}", channels)
        weights(f"{name}.proj_out", *square)

    weights("time_embed.0", time, width)
    weights("time_embed.2", time, time)
    if pooled:
        weights("label_emb.0.0", time, pooled)
        weights("label_emb.0.2", time, time)
    if camera:
        weights("camera_embed.0", time, camera)
        weights("camera_embed.2", time, time)
    weights("input_blocks.0.0", width, inputs, 3, 3)
    skips, channels, index = [width], width, 1
    for level, (factor, depth) in enumerate(zip(multipliers, depths)):
        for _ in range(layers):
            resnet(f"input_blocks.{index}.0", channels, factor * width)
            channels = factor * width
            if depth:
                attention(f"input_blocks.{index}.1", channels, depth)
            skips.append(channels)
            index += 1
        if level + 1 < len(multipliers):
            weights(f"input_blocks.{index}.0.op", channels, channels, 3, 3)
            skips.append(channels)
            index += 1
    resnet("middle_block.0", channels, channels)
    attention("middle_block.1", channels, middle)
    resnet("middle_block.2", channels, channels)
    index = 0
    for level in reversed(range(len(multipliers))):
        for place in range(layers + 1):
            resnet(f"output_blocks.{index}.0", channels + skips.pop(), multipliers[level] * width)
            channels = multipliers[level] * width
            part = 1
            if depths[level]:
                attention(f"output_blocks.{index}.1", channels, depths[level])
                part = 2
            if level and place == layers:
                weights(f"output_blocks.{index}.{part}.conv", channels, channels, 3, 3)
            index += 1
    weights("out.0", channels)
    weights("out.2", outputs, channels, 3, 3)
    return shapes


def ldm_vae(widths=(128, 256, 512, 512), layers=2, latent=4, pictures=3):
    """Shapes of an LDM autoencoder (KL, Stable Diffusion's unless told otherwise). pictures: channels of what it
    encodes."""
    shapes = {}

    def weights(name, *shape):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = shape, shape[:1]

    def resnet(name, into, out):
        weights(f"{name}.norm1", into)
        weights(f"{name}.conv1", out, into, 3, 3)
        weights(f"{name}.norm2", out)
        weights(f"{name}.conv2", out, out, 3, 3)
        if into != out:
            weights(f"{name}.nin_shortcut", out, into, 1, 1)

    def middle(name, channels):
        resnet(f"{name}.mid.block_1", channels, channels)
        weights(f"{name}.mid.attn_1.norm", channels)
        for part in ("q", "k", "v", "proj_out"):
            weights(f"{name}.mid.attn_1.{part}", channels, channels, 1, 1)
        resnet(f"{name}.mid.block_2", channels, channels)

    weights("encoder.conv_in", widths[0], pictures, 3, 3)
    channels = widths[0]
    for level, width in enumerate(widths):
        for block in range(layers):
            resnet(f"encoder.down.{level}.block.{block}", channels, width)
            channels = width
        if level + 1 < len(widths):
            weights(f"encoder.down.{level}.downsample.conv", channels, channels, 3, 3)
    middle("encoder", channels)
    weights("encoder.norm_out", channels)
    weights("encoder.conv_out", 2 * latent, channels, 3, 3)
    weights("decoder.conv_in", channels, latent, 3, 3)
    middle("decoder", channels)
    for level in reversed(range(len(widths))):
        for block in range(layers + 1):
            resnet(f"decoder.up.{level}.block.{block}", channels, widths[level])
            channels = widths[level]
        if level:
            weights(f"decoder.up.{level}.upsample.conv", channels, channels, 3, 3)
    weights("decoder.norm_out", channels)
    weights("decoder.conv_out", pictures, channels, 3, 3)
    weights("quant_conv", 2 * latent, 2 * latent, 1, 1)
    weights("post_quant_conv", latent, latent, 1, 1)
    return shapes


def open_clip(width=1024, layers=24, vocabulary=49408, positions=77, projection=None):
    """Shapes of OpenCLIP's text tower (ViT-H, Stable Diffusion 2's, unless told otherwise)."""
    shapes = {"positional_embedding": (positions, width), "text_projection": (width, projection or width),
              "logit_scale": (), "token_embedding.weight": (vocabulary, width), "ln_final.weight": (width,),
              "ln_final.bias": (width,)}
    for i in range(layers):
        block = f"transformer.resblocks.{i}"
        shapes |= {f"{block}.attn.in_proj_weight": (3 * width, width), f"{block}.attn.in_proj_bias": (3 * width,)}
        for name, shape in (("attn.out_proj", (width, width)), ("mlp.c_fc", (4 * width, width)),
                            ("mlp.c_proj", (width, 4 * width)), ("ln_1", (width,)), ("ln_2", (width,))):
            shapes |= {f"{block}.{name}.weight": shape, f"{block}.{name}.bias": shape[:1]}
    return shapes


def hugging_face_clip(width=768, layers=12, vocabulary=49408, positions=77, inner=4):
    """Shapes of CLIPTextModel as Stable Diffusion 1 keeps it, position counter included."""
    shapes = {"text_model.embeddings.token_embedding.weight": (vocabulary, width),
              "text_model.embeddings.position_embedding.weight": (positions, width),
              "text_model.embeddings.position_ids": (1, positions),
              "text_model.final_layer_norm.weight": (width,), "text_model.final_layer_norm.bias": (width,)}
    for i in range(layers):
        layer = f"text_model.encoder.layers.{i}"
        for name, shape in (*((f"self_attn.{part}", (width, width))
                              for part in ("q_proj", "k_proj", "v_proj", "out_proj")),
                            ("mlp.fc1", (inner * width, width)), ("mlp.fc2", (width, inner * width)),
                            ("layer_norm1", (width,)), ("layer_norm2", (width,))):
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    return shapes


def random_weights(shapes, prefix="", seed=0, dtype=torch.float32):
    """A state dict with these shapes: small numbers, norms near 1, so that nothing explodes on its way through."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        if key.endswith("position_ids"):
            state[prefix + key] = torch.arange(shape[-1])[None]
        elif key.endswith(".weight") and len(shape) == 1:
            state[prefix + key] = (1 + 0.1 * torch.randn(shape, generator=generator)).to(dtype)
        else:
            spread = shape[1:].numel() if isinstance(shape, torch.Size) else _product(shape[1:])
            state[prefix + key] = (torch.randn(shape, generator=generator) / max(spread, 16) ** 0.5).to(dtype)
    return state


def _product(sizes):
    result = 1
    for size in sizes:
        result *= size
    return result


def parameters(shapes):
    """Number of parameters."""
    return sum(_product(shape) for shape in shapes.values())
