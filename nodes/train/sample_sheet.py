"""Sample sheet: samples of a prior in training for some prompts, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from .if_layout import PREDICTION, encode_text


def noise_schedule(prediction: str = PREDICTION):
    """The diffusers DDPMScheduler that the prior is trained and sampled with: 1000 steps, cosine. prediction: what its
    network predicts, as diffusers names it."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(1000, beta_schedule="squaredcos_cap_v2", variance_type="fixed_small", clip_sample=True,
                         prediction_type=prediction)


@torch.no_grad()
def sample_prior(
    unet,
    text_encoder,
    tokenizer,
    prompts: Sequence[str],
    steps: int = 50,
    guidance_scale: float = 4.0,
    seed: int = 0,
    prediction: str = PREDICTION,
) -> torch.Tensor:
    """One image per prompt (DDPM: Ho et al. 2020, algorithm 2; guidance: Ho and Salimans 2022, eq. 6).

    Returns [B, H, W, 3] in [0, 1] on the CPU. The noise is drawn on the CPU, so it does not depend on the device.
    """
    batch, size, device = len(prompts), unet.config.sample_size, unet.device
    generator = torch.Generator().manual_seed(seed)
    condition = encode_text(text_encoder, tokenizer, [*prompts, *[""] * batch])
    scheduler = noise_schedule(prediction)
    scheduler.set_timesteps(steps)
    x = torch.randn(batch, 3, size, size, generator=generator)
    for t in scheduler.timesteps:
        predicted = unet(torch.cat([x, x]).to(device), t.to(device), condition).sample[:, :3].float().cpu()
        conditional, unconditional = predicted.chunk(2)
        guided = unconditional + guidance_scale * (conditional - unconditional)
        x = scheduler.step(guided, t, x, generator=generator).prev_sample
    return (x.clamp(-1, 1) * 0.5 + 0.5).permute(0, 2, 3, 1)


def contact_sheet(images: torch.Tensor, columns: int = 6, zoom: int = 1) -> torch.Tensor:
    """Images [B, H, W, 3] side by side, row by row, each pixel enlarged `zoom` times: [H', W', 3]."""
    missing = -len(images) % columns
    images = torch.cat([images, images.new_ones(missing, *images.shape[1:])])
    count, height, width, channels = images.shape
    rows = images.view(count // columns, columns, height, width, channels).permute(0, 2, 1, 3, 4)
    sheet = rows.reshape(count // columns * height, columns * width, channels)
    return sheet.repeat_interleave(zoom, 0).repeat_interleave(zoom, 1)
