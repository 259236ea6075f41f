"""Tiny models of RichDreamer in the published format: a .ckpt with "state_dict" and the buffers of the noise
schedule."""

import torch

from mv_reference import MultiViewReference
from published import hugging_face_clip, ldm_unet, ldm_vae, open_clip, random_weights
from tiny_sd import VOCABULARY

SD1 = dict(width=32, multipliers=(1, 2), layers=1, depths=(1, 0), context=64)
UNETS = {
    "nd_mv": SD1 | dict(camera=16),
    "nd": SD1,
    "albedo_mv": SD1 | dict(width=64, linear=True, camera=16, inputs=5),
}
HEADS = {"nd_mv": lambda channels: 8, "nd": lambda channels: 8, "albedo_mv": lambda channels: channels // 64}
BUFFERS = ("betas", "alphas_cumprod", "alphas_cumprod_prev", "sqrt_alphas_cumprod", "sqrt_one_minus_alphas_cumprod",
           "log_one_minus_alphas_cumprod", "sqrt_recip_alphas_cumprod", "sqrt_recipm1_alphas_cumprod",
           "posterior_variance", "posterior_log_variance_clipped", "posterior_mean_coef1", "posterior_mean_coef2")


def unet_weights(kind):
    return random_weights(ldm_unet(**UNETS[kind]), seed=1)


def reference(kind):
    return MultiViewReference(unet_weights(kind), HEADS[kind])


def state_dict(kind):
    state = {"model.diffusion_model." + key: value for key, value in unet_weights(kind).items()}
    is_albedo = kind == "albedo_mv"
    state |= random_weights(ldm_vae((32, 32), 1, pictures=3 if is_albedo else 4), "first_stage_model.", 2)
    if is_albedo:
        state |= random_weights(open_clip(64, 3, len(VOCABULARY)), "cond_stage_model.model.", 3)
    else:
        state |= random_weights(hugging_face_clip(64, 2, len(VOCABULARY)), "cond_stage_model.transformer.", 3)
    return state | {name: torch.zeros(1000) for name in BUFFERS}


def write_file(path, kind):
    torch.save({"state_dict": state_dict(kind)}, path)
    return path
