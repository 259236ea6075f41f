"""Pictures as CLIP's image encoders expect them."""
from __future__ import annotations

from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

# Of the pictures that CLIP was trained on, in [0,1] (Radford et al. 2021, published code).
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)


def normalized(pixels: Tensor, mean: Sequence[float] = MEAN, deviation: Sequence[float] = DEVIATION) -> Tensor:
    """Channels [B,3,H,W] in [0,1] -> mean 0 and deviation 1 over the training pictures, CLIP's unless given.
    Differentiable."""
    center, spread = (torch.tensor(numbers, device=pixels.device).view(1, 3, 1, 1) for numbers in (mean, deviation))
    return (pixels - center) / spread


def clip_pixels(rgb: Tensor, side: int) -> Tensor:
    """Square pictures rgb [B,H,H,3] in [0,1] -> input of an encoder of `side` pixels [B,3,side,side], float32.

    As in the latent diffusion code, with which Zero123 was trained: bicubic with aligned corners, without antialiasing.
    transformers' own processor resizes differently. Differentiable.
    """
    return normalized(F.interpolate(rgb.permute(0, 3, 1, 2).float(), (side, side), mode="bicubic", align_corners=True))


def tower_pixels(rgb: Tensor, side: int, mean: Sequence[float] = MEAN,
                 deviation: Sequence[float] = DEVIATION) -> Tensor:
    """Square pictures rgb [B,H,H,3] in [0,1] -> input [B,3,side,side] of an encoder, float32: bicubic with
    antialiasing, as transformers' image processors resize, without their rounding to bytes. Differentiable."""
    pixels = rgb.permute(0, 3, 1, 2).float()
    if pixels.shape[-1] != side:
        pixels = F.interpolate(pixels, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
    return normalized(pixels, mean, deviation)
