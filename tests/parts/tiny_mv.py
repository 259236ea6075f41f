"""Tiny MVDream and ImageDream models in the published formats: bare state dicts, and the folder of their conversion."""

import json

import torch

from mv_reference import MultiViewReference
from published import hugging_face_clip, ldm_unet, ldm_vae, open_clip, random_weights
from tiny_sd import VOCABULARY

UNETS = {
    "sd1": dict(width=32, multipliers=(1, 2), layers=1, depths=(1, 0), context=64, camera=16),
    "sd2": dict(width=64, multipliers=(1, 2), layers=1, depths=(1, 0), context=64, linear=True, camera=16),
}
HEADS = {"sd1": lambda channels: 8, "sd2": lambda channels: channels // 64}
PIXELS, LATENTS = 16, 8


def shapes(kind):
    return ldm_unet(**UNETS[kind])


def unet_weights(kind):
    return random_weights(shapes(kind), seed=1)


def reference(kind):
    return MultiViewReference(unet_weights(kind), HEADS[kind])


def state_dict(kind):
    state = {"model.diffusion_model." + key: value for key, value in unet_weights(kind).items()}
    state |= random_weights(ldm_vae((32, 32), 1), "first_stage_model.", 2)
    if kind == "sd1":
        state |= random_weights(hugging_face_clip(64, 2, len(VOCABULARY)), "cond_stage_model.transformer.", 3)
    else:
        state |= random_weights(open_clip(64, 3, len(VOCABULARY)), "cond_stage_model.model.", 3)
    return state | {"betas": torch.zeros(1000), "alphas_cumprod": torch.ones(1000)}


def write_file(path, kind):
    torch.save(state_dict(kind), path)
    return path


def write_folder(folder, prior, weights, **config):
    """The conversion for diffusers: LDM's names in the UNet's file, everything else as diffusers has it. prior: a
    loaded one with the same weights."""
    from safetensors.torch import save_file

    from tiny_sd import write_tokenizer

    (folder / "unet").mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in weights.items()},
              folder / "unet" / "diffusion_pytorch_model.safetensors")
    (folder / "unet" / "config.json").write_text(json.dumps({"_class_name": "MultiViewUNetModel", "camera_dim": 16,
                                                             **config}))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "MVDreamPipeline"}))
    prior.model.vae.save_pretrained(folder / "vae")
    prior.model.texts[0].model.save_pretrained(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer", pad="!")
    return folder


def picture_shapes(unet, context=1024, image=1280, tokens=16, depth=4, inner=768):
    """What ImageDream's UNet has beside MVDream's: a resampler, and keys and values for its tokens."""
    added = {"image_embed.latents": (1, tokens, context)}

    def weights(name, *shape, bias=True):
        added[f"image_embed.{name}.weight"] = shape
        if bias:
            added[f"image_embed.{name}.bias"] = shape[:1]

    weights("proj_in", context, image)
    weights("proj_out", context, context)
    weights("norm_out", context)
    for i in range(depth):
        weights(f"layers.{i}.0.norm1", context)
        weights(f"layers.{i}.0.norm2", context)
        weights(f"layers.{i}.0.to_q", inner, context, bias=False)
        weights(f"layers.{i}.0.to_kv", 2 * inner, context, bias=False)
        weights(f"layers.{i}.0.to_out", context, inner, bias=False)
        weights(f"layers.{i}.1.0", context)
        weights(f"layers.{i}.1.1", 4 * context, context, bias=False)
        weights(f"layers.{i}.1.3", context, 4 * context, bias=False)
    for key, shape in unet.items():
        if key.endswith((".attn2.to_k.weight", ".attn2.to_v.weight")):
            added[key.replace(".weight", "_ip.weight")] = shape
    return added


def vision_shapes(width=1280, layers=32, patch=14, side=16, projection=1024):
    """OpenCLIP's image tower."""
    shapes = {"class_embedding": (width,), "positional_embedding": (side * side + 1, width),
              "proj": (width, projection), "conv1.weight": (width, 3, patch, patch)}
    for name in ("ln_pre", "ln_post"):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    text = open_clip(width, layers)
    return shapes | {key: shape for key, shape in text.items() if key.startswith("transformer.")}


VISION = dict(width=80, layers=3, patch=4, side=3, projection=64)


def imagedream_unet_weights():
    unet = shapes("sd2")
    added = picture_shapes(unet, context=64, image=80, tokens=4, depth=2, inner=128)
    return unet_weights("sd2") | random_weights(added, seed=5)


def imagedream_state_dict():
    """A checkpoint as published: the same parts under names of their own."""
    state = {key.replace("first_stage_model.", "vae_model.").replace("cond_stage_model.", "clip_model."): value
             for key, value in state_dict("sd2").items() if not key.startswith("model.diffusion_model.")}
    state |= {"model.diffusion_model." + key: value for key, value in imagedream_unet_weights().items()}
    return state | random_weights(vision_shapes(**VISION), "clip_model.model.visual.", 6)
