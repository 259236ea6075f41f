"""One guided denoise of a Stable Diffusion 1.5 UNet with random weights: through our prior, and by diffusers alone."""
from __future__ import annotations

from statistics import median
from typing import Any

import torch

from distill3d.kernels.distill.guidance import guide
from distill3d.nodes.core.errors import MissingPackage
from distill3d.nodes.core.prior import TextCondition
from distill3d.nodes.models.noise import scaled_linear_noise
from distill3d.nodes.priors.latent_prior import LatentModel, LatentPrior

from .case import now

QUICK = {"block_out_channels": (32, 64), "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
         "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "cross_attention_dim": 768}


def guided_denoise(quick: bool, repeats: int, device: torch.device) -> dict[str, Any]:
    """size in words, median milliseconds of both, their ratio. Batch 1, so two rows of guidance. Passes alternate, so
    that other load of the machine affects both.

    Raises MissingPackage without diffusers.
    """
    try:
        from diffusers import UNet2DConditionModel
    except ImportError as error:
        raise MissingPackage("diffusers", "guided denoise") from error
    half = device.type == "cuda"
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(0)
        # diffusers' defaults are Stable Diffusion 1.5 but for the width of the text.
        unet = UNet2DConditionModel(**(QUICK if quick else {"cross_attention_dim": 768})).eval().requires_grad_(False)
    unet = unet.half() if half else unet
    size = 16 if quick else 64
    prior = LatentPrior(LatentModel(unet, None, [], scaled_linear_noise(), "epsilon", size), device)
    generator = torch.Generator().manual_seed(0)
    z_t = torch.randn(1, 4, size, size, generator=generator).to(device)
    texts = [TextCondition(torch.randn(1, 77, 768, generator=generator).to(device)) for _ in range(2)]
    t = torch.tensor([500], device=device)

    def ours():
        negative, positive = prior.denoise(z_t, t, texts, None)
        return guide(negative, positive, 7.5)

    @torch.no_grad()
    def plain():
        text = torch.cat([condition.embedding for condition in texts]).to(unet.dtype)
        negative, positive = unet(z_t.repeat(2, 1, 1, 1).to(unet.dtype), t, text).sample.float().chunk(2)
        return negative + 7.5 * (positive - negative)

    times: dict[Any, list[float]] = {ours: [], plain: []}
    for index in range(repeats + 1):
        for run in (ours, plain) if index % 2 else (plain, ours):
            start = now(device)
            run()
            if index:  # the first pass pays for caches and allocations
                times[run].append(now(device) - start)
    weights = sum(parameter.numel() for parameter in unet.parameters())
    result = {"size": f"{size} x {size} latents, 2 rows, UNet of {weights / 1e6:.0f} M weights, "
                      f"{str(unet.dtype).removeprefix('torch.')}",
              "prior": median(times[ours]), "diffusers": median(times[plain])}
    return result | {"ratio": result["prior"] / result["diffusers"]}
