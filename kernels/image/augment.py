"""Augmentation: random crops of pictures, and random backgrounds."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_shape

BACKDROPS = ("noise", "checkerboard", "fourier")


def random_crops(rgb: Tensor, least: float, most: float, generator: torch.Generator) -> Tensor:
    """Square crops of pictures rgb [B,H,W,C] at random positions, resized to H x W: [B,H,W,C].

    least, most  side of a crop relative to the picture's, > 0. Above 1 the picture is padded with its border pixels
    generator    on the CPU

    Bilinear. Differentiable in rgb.
    """
    check_shape("rgb", rgb, "B", "H", "W", "C")
    if not 0 < least <= most:
        raise ValueError(f"the sides of crops must be 0 < least <= most, got {least} and {most}")
    side = least + (most - least) * torch.rand(len(rgb), generator=generator)
    free = (1 - side).abs()[:, None]
    affine = torch.zeros(len(rgb), 2, 3)
    affine[:, 0, 0] = affine[:, 1, 1] = side
    affine[:, :, 2] = free * (2 * torch.rand(len(rgb), 2, generator=generator) - 1)
    pixels = rgb.permute(0, 3, 1, 2)
    grid = F.affine_grid(affine.to(rgb), list(pixels.shape), align_corners=False)
    return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False).permute(0, 2, 3, 1)


def backdrop(kind: str, height: int, width: int, generator: torch.Generator) -> Tensor:
    """A random background [H,W,3] in [0,1], on the CPU (Dream Fields, Jain et al. 2022, sec. 3.4).

    kind  "noise": normal, around 0.5; "checkerboard": two random colours, fields of an eighth of the height;
          "fourier": a sum of random waves. All are blurred by a Gaussian of random width.
    """
    if kind == "noise":
        texture = 0.5 + 0.2 * torch.randn(height, width, 3, generator=generator)
    elif kind == "checkerboard":
        field = max(height // 8, 1)
        rows, columns = torch.arange(height)[:, None] // field, torch.arange(width)[None] // field
        dark = ((rows + columns) % 2)[..., None].float()
        one, other = torch.rand(2, 3, generator=generator)
        texture = dark * one + (1 - dark) * other
    elif kind == "fourier":
        y, x = torch.linspace(0, 1, height)[:, None, None], torch.linspace(0, 1, width)[None, :, None]
        texture = torch.full((height, width, 3), 0.5)
        for _ in range(8):
            u, v = 6 * torch.rand(2, generator=generator) - 3
            phase, share = torch.rand(2, 3, generator=generator)
            texture = texture + 0.2 * (share - 0.5) * torch.cos(2 * math.pi * (u * x + v * y + phase))
        spread = texture.amax((0, 1)) - texture.amin((0, 1))
        texture = (texture - texture.amin((0, 1))) / spread.clamp(min=1e-6)
    else:
        raise ValueError(f'kind must be one of {BACKDROPS}, got "{kind}"')
    return _blur(texture, height * 0.05 * float(torch.rand(1, generator=generator))).clamp(0, 1)


def _blur(image: Tensor, sigma: float) -> Tensor:
    reach = math.ceil(2 * sigma)
    if reach < 1:
        return image
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma).square())
    weights = (weights / weights.sum()).view(1, 1, -1)
    pixels = image.permute(2, 0, 1)[:, None]
    pixels = F.conv2d(F.pad(pixels, (reach, reach, 0, 0), mode="replicate"), weights[:, :, None])
    return F.conv2d(F.pad(pixels, (0, 0, reach, reach), mode="replicate"), weights[..., None])[:, 0].permute(1, 2, 0)
