"""Drawing Gaussians by gsplat's CUDA kernel, where the user has installed it; see splat.py for what it means.

Projection and tiles are the pack's own, so that centers and radii mean the same with every backend. From version 1.6
on, gsplat limits alpha to 0.99 instead of 0.999. Its gradients are added in an order that varies from run to run.
"""
from __future__ import annotations

import torch

from .project import Ellipses
from .tiles import tiles_of

SIDE = 16
# What it is compiled for, of which versions before 1.6 fill up to the next by themselves.
CHANNELS = (1, 2, 3, 4, 5, 8, 9, 16, 17, 32)


def draw(table: torch.Tensor, seen: Ellipses, height: int, width: int, chunk: int) -> torch.Tensor:
    """table [B,N,6 + K] on CUDA -> weighted sums [B,H,W,K]."""
    import gsplat

    tiles = tiles_of(seen.centers, seen.reach, seen.depths, height, width, SIDE)
    # The last value is 1 everywhere: its sum is the opacity that comes anyway.
    centers, conics, opacities, values, _ = table.split([2, 3, 1, table.shape[-1] - 7, 1], -1)
    offsets = tiles.offsets[:-1].view(len(table), *tiles.grid).int().contiguous()
    sums = []
    for part in values.split(CHANNELS[-1], -1):
        room = min(count for count in CHANNELS if count >= part.shape[-1]) - part.shape[-1]
        part = torch.nn.functional.pad(part, (0, room))
        drawn, opacity = gsplat.rasterize_to_pixels(centers.contiguous(), conics.contiguous(), part,
                                                    opacities[..., 0].contiguous(), width, height, SIDE, offsets,
                                                    tiles.gaussian.int())
        sums.append(drawn[..., :part.shape[-1] - room])
    return torch.cat([*sums, opacity], -1)


def unusable(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why it cannot run here, None where it can."""
    from importlib.util import find_spec

    if device.type != "cuda":
        return "gsplat draws on CUDA only"
    if dtype != torch.float32:
        return f"float32 only, not {str(dtype).removeprefix('torch.')}"
    return None if find_spec("gsplat") else "the package gsplat is not installed"
