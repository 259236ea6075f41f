"""The noise of score distillation: fresh at every step, kept, or on the object."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.distill.surface_noise import cube_size, over_background, renewed, surface_noise
from ...kernels.upload import upload
from ..core.loss import Look
from ..core.rng import Streams

FRESH, KEPT, ON_OBJECT = "fresh", "kept", "on the object"
NOISES = (FRESH, KEPT, ON_OBJECT)
RENEWAL = 1e-4  # share of the noise on the object that is renewed at each step, as published
POINTS = 8  # along each side of a pixel of noise


def draw_noise(look: Look, kind: str, shape: torch.Size, renewal: float = RENEWAL) -> Tensor:
    """Standard normal noise of a shape [B,C,h,w], on the CPU unless it is on the object.

    "fresh"          new at every step
    "kept"           the same at every step, for each picture of the batch
    "on the object"  fixed to the surface, so that all views see the same noise; fresh beside the object
    """
    if kind == KEPT:
        return torch.randn(shape, generator=_of_run(look)("noise"))
    noise = torch.randn(shape, generator=look.streams("noise"))
    return noise if kind == FRESH else _on_object(look, noise, renewal)


def _of_run(look: Look, number: int = 0) -> Streams:
    """Streams that do not depend on the step."""
    return Streams(look.streams.seed, -1 - number, look.streams.prefix)


@torch.no_grad()
def _on_object(look: Look, background: Tensor, renewal: float) -> Tensor:
    """Unit variance everywhere. The surface is where the rendering's depth says, between pixels interpolated."""
    rendering, cameras = look.rendering, look.cameras
    batch, channels, h, w = background.shape
    epoch, share = divmod(look.step * renewal, 1.0)
    keys = [_of_run(look, int(epoch) + offset).key("noise on the object") for offset in (0, 1)]
    opacity = rendering.opacity.detach().permute(0, 3, 1, 2)
    fine = (h * POINTS, w * POINTS)
    distance = rendering.depth.detach().permute(0, 3, 1, 2) / opacity.clamp_min(1e-3)
    distance = F.interpolate(distance, fine, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    origins, directions = cameras.resized(*fine).rays()
    points = (origins + distance * directions).view(batch, h, POINTS, w, POINTS, 3).transpose(2, 3)
    points = points.reshape(batch, h, w, POINTS**2, 3)
    footprints = (2 * cameras.view_size / h).tolist()
    views = [renewed(*(surface_noise(view, cube_size(footprint), key, channels) for key in keys), share)
             for view, footprint in zip(points, footprints)]
    covered = F.interpolate(opacity, (h, w), mode="bilinear", antialias=True, align_corners=False).clamp(0, 1)
    return over_background(torch.stack(views), upload(background, opacity.device), covered)
