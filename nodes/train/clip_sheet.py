"""Similarity sheet: true pictures of captions above the table of their cosines with all captions."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...kernels.shapes.render import render_shapes
from ..core.cameras import orbit
from ..shapes.caption import parse_shape, shape_parts

CAPTIONS = ("a red cube", "a blue cube", "a red sphere", "a yellow cone", "a green torus", "a purple capsule",
            "a blue sphere on top of a green cylinder", "a green sphere on top of a blue cylinder",
            "a blue cylinder on top of a green cube", "an orange cone on top of a purple cube",
            "an orange sphere with a blue nose", "a striped red cube")
CELL = 64  # pixels


def caption_pictures(captions, resolution: int, azimuth: float = 40.0, elevation: float = 20.0) -> Tensor:
    """Shaded pictures [B,H,H,3] of the shapes that captions name, over white; degrees."""
    count = len(captions)
    angles = (torch.full((count,), value).deg2rad() for value in (azimuth, elevation))
    cameras = orbit(*angles, torch.full((count,), 3.2), 0.698, resolution, resolution)
    light = torch.nn.functional.normalize(cameras.c2w[:, :3, 3] + torch.tensor([0.0, 0.0, 1.0]), dim=-1)
    parts = shape_parts([parse_shape(caption) for caption in captions])
    return render_shapes(parts, cameras.c2w, cameras.fovy, resolution, 3, light, torch.full((count,), 0.6),
                         torch.ones(count, 3))["rgb"]


@torch.no_grad()
def similarity_sheet(embed: Callable, resolution: int) -> Tensor:
    """embed(rgb [B,H,H,3], captions) -> unit embeddings of both. Returns [H',W',3]: a column per picture; below it its
    cosine with each caption, white for the largest of the column, black for the smallest."""
    rgb = caption_pictures(CAPTIONS, resolution)
    pictures, texts = embed(rgb, CAPTIONS)
    cosine = (texts @ pictures.T).cpu()
    low, high = cosine.amin(0), cosine.amax(0)
    table = ((cosine - low) / (high - low).clamp(min=1e-6)).repeat_interleave(CELL // 4, 0).repeat_interleave(CELL, 1)
    shown = torch.nn.functional.interpolate(rgb.permute(0, 3, 1, 2), (CELL, CELL)).permute(0, 2, 3, 1)
    return torch.cat([torch.cat(list(shown), 1), table[..., None].expand(-1, -1, 3)], 0).clamp(0, 1)
