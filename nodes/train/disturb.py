"""Disturbances of training pictures: what a rendering that is still being optimised may look like."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LUMINANCE = (0.299, 0.587, 0.114)


def disturb(rgb: Tensor, grey_share: float, generator: torch.Generator) -> Tensor:
    """rgb [B,3,H,W] in [0,1] -> the same objects moved by up to a tenth, 0.85 to 1.4 times as large, some of them
    blurred, noisy, paler, or grey (`grey_share` of them); [B,3,H,W] in [0,1]."""
    batch, device = len(rgb), rgb.device

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *shape, generator=generator, device=device)

    def some(share: float) -> Tensor:
        return (uniform(0, 1) < share).float().view(-1, 1, 1, 1)

    affine = torch.zeros(batch, 2, 3, device=device)
    affine[:, 0, 0] = affine[:, 1, 1] = 1 / uniform(0.85, 1.4)
    affine[:, :, 2] = uniform(-0.2, 0.2, 2)
    rgb = F.grid_sample(rgb, F.affine_grid(affine, rgb.shape, align_corners=False), mode="bilinear",
                        padding_mode="border", align_corners=False)
    blurred = F.avg_pool2d(F.pad(rgb, (1, 1, 1, 1), mode="replicate"), 3, 1)
    rgb = torch.lerp(rgb, blurred, some(0.3))
    grey = (rgb * torch.tensor(LUMINANCE, device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    rgb = torch.lerp(rgb, grey.expand_as(rgb), some(grey_share))
    rgb = torch.lerp(rgb, rgb.mean((2, 3), keepdim=True), 0.5 * some(0.2) * uniform(0, 1, 1, 1, 1))
    noise = torch.randn(rgb.shape, generator=generator, device=device)
    return (rgb + some(0.5) * uniform(0, 0.15, 1, 1, 1) * noise).clamp(0, 1)
