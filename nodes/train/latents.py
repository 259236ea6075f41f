"""Parts of small latent diffusion models: an autoencoder, Stable Diffusion's noise schedule, and a sampler."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from ..core.errors import DistillError
from ..models.silence import silence
from .denoising_trainer import PriorRecipe

PREDICTION = "v_prediction"  # see if_layout
LATENTS = 4  # channels
CHANNELS = (16, 32)  # of the autoencoder: one latent pixel covers two by two
FACTOR = 2 ** (len(CHANNELS) - 1)


def build_autoencoder() -> nn.Module:
    """A new AutoencoderKL, [B,3,H,W] in [-1,1] to [B,4,H/2,W/2], without gradients."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        latent_channels=LATENTS,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * len(CHANNELS),
        up_block_types=("UpDecoderBlock2D",) * len(CHANNELS),
        norm_num_groups=8,
        scaling_factor=1.0,  # see train_autoencoder
    ).requires_grad_(False).eval()


def get_autoencoder(vae: nn.Module, images: np.ndarray, recipe: PriorRecipe, callback: Callable | None = None) -> None:
    """Fill `vae` from the recipe's folder, or by training on images uint8 [N,V,H,W,3]."""
    if not recipe.autoencoder:
        train_autoencoder(vae, images.reshape(-1, *images.shape[2:]), recipe.autoencoder_steps, recipe.seed, callback)
        return
    try:
        read_autoencoder(recipe.autoencoder, vae)
    except (OSError, RuntimeError, ValueError) as error:
        raise DistillError(f"{recipe.autoencoder} contains no autoencoder of the right sizes. Leave autoencoder empty "
                           "to train one.") from error


def train_autoencoder(vae: nn.Module, images: np.ndarray, steps: int, seed: int, callback: Callable | None = None,
                      batch: int = 32, lr: float = 2e-3, spread: float = 1e-4) -> float:
    """Train `vae` in place on images uint8 [N,H,W,3]. Its latents then have a deviation of 1 without a scaling factor.

    callback  callback(step, steps, loss); an exception that it raises ends the training
    spread    weight of the divergence from a unit normal (Rombach et al. 2022, sec. 3.1), which keeps latents centred

    Returns the last loss: absolute plus square error of pixels in [-1,1]. Every random choice comes from (seed, step).
    """
    device = next(vae.parameters()).device
    vae.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=1e-4)
    loss = torch.zeros(())
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
        x = pixels(images[rng.integers(len(images), size=batch)], device)
        posterior = vae.encode(x).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator, device=device)
        wrong = vae.decode(posterior.mean + posterior.std * noise).sample - x
        loss = wrong.abs().mean() + wrong.square().mean()
        optimizer.param_groups[0]["lr"] = lr * min(1.0, (step + 1) / 50, 2.0 * (1.0 - step / steps))
        optimizer.zero_grad(set_to_none=True)
        (loss + spread * posterior.kl().mean() / posterior.mean[0].numel()).backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        if callback is not None:
            callback(step + 1, steps, loss.item(), "learning to compress")
    optimizer.zero_grad(set_to_none=True)  # else they would enter the clipped norm of all networks
    vae.requires_grad_(False).eval()
    _normalize(vae, images, seed)
    return loss.item()


@torch.no_grad()
def _normalize(vae, images, seed):
    """Scales the latents' deviation to 1 in the convolutions around them, so that no scaling factor is needed."""
    rows = np.random.default_rng(seed).integers(len(images), size=min(len(images), 256))
    deviation = vae.encode(pixels(images[rows], next(vae.parameters()).device)).latent_dist.mode().std()
    for parameter in (vae.quant_conv.weight, vae.quant_conv.bias):
        parameter[:LATENTS] /= deviation  # the mean
    vae.quant_conv.bias[LATENTS:] -= 2 * deviation.log()  # the logarithm of the variance
    vae.post_quant_conv.weight *= deviation


def read_autoencoder(folder: str, vae: nn.Module) -> None:
    """Fill `vae` from the "vae" of a pipeline folder. Raises OSError, RuntimeError or ValueError for another
    network."""
    from diffusers import AutoencoderKL

    with silence():
        found = AutoencoderKL.from_pretrained(os.path.join(folder, "vae"), local_files_only=True)
    vae.load_state_dict(found.float().state_dict())


def pixels(images: np.ndarray, device) -> Tensor:
    """uint8 [B,H,W,C] -> [B,C,H,W] in [-1,1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0


def pictures(x: Tensor) -> Tensor:
    """[B,C,H,W] in [-1,1] -> [B,H,W,C] in [0,1] on the CPU."""
    return (x.clamp(-1, 1) * 0.5 + 0.5).permute(0, 2, 3, 1).float().cpu()


def encode(vae: nn.Module, x: Tensor) -> Tensor:
    """Latents [B,4,h,w], without gradients."""
    with torch.no_grad():
        return vae.encode(x).latent_dist.mode()


def decode(vae: nn.Module, z: Tensor) -> Tensor:
    """Pictures [B,3,H,W] of latents, without gradients."""
    with torch.no_grad():
        return vae.decode(z).sample


def noise_schedule():
    """Stable Diffusion's 1000 noise levels, as diffusers' DDPMScheduler."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                         prediction_type=PREDICTION)


@torch.no_grad()
def sample(predict: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], shape: tuple[int, ...], device, guidance: float,
           steps: int = 50, seed: int = 0) -> Tensor:
    """Ancestral samples [B,C,h,w] (Ho et al. 2020, algorithm 2). predict(noisy, t) -> velocities with and without
    condition."""
    scheduler = noise_schedule()
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    for t in scheduler.timesteps:
        led, alone = (part.float().cpu() for part in predict(x.to(device), t.to(device).expand(shape[0])))
        x = scheduler.step(alone + guidance * (led - alone), t, x, generator=generator).prev_sample
    return x.to(device)
