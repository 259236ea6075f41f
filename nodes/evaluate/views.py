"""The standard views of an evaluation, and the pictures that are compared."""
from __future__ import annotations

import math
from typing import Callable, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.cameras import Cameras, orbit
from ..core.errors import DistillError
from ..core.rendering import Rendering
from ..core.scene import SceneRecipe

RenderFn = Callable[[Cameras], Rendering]

AZIMUTHS = tuple(range(0, 360, 45))
ELEVATIONS = (15, 45)
DISTANCE, FOVY = 3.2, 40.0
VIEWS_AT_ONCE = 4
WANTED = ("albedo", "opacity", "normal")
AMBIENT = 0.2  # of the headlight


class Pictures(NamedTuple):
    """Pictures of a result or of the truth, on the CPU.

    color     [B,H,W,3]  albedo over white, in [0,1]
    gray      [B,H,W,1]  geometry without albedo under a headlight, over white, in [0,1]
    opacity   [B,H,W,1]  in [0,1]
    normal    [B,H,W,3]  world, weight-summed
    """

    color: Tensor
    gray: Tensor
    opacity: Tensor
    normal: Tensor


def standard_views(size: int = 64) -> Cameras:
    """The 16 cameras of every measure: 8 azimuths at elevation 15, then the same at 45 degrees; size x size pixels."""
    with torch.inference_mode(False):
        elevation, azimuth = torch.meshgrid(torch.tensor(ELEVATIONS) * (math.pi / 180),
                                            torch.tensor(AZIMUTHS) * (math.pi / 180), indexing="ij")
        return orbit(azimuth, elevation, DISTANCE, math.radians(FOVY), size, size)


def still_render(recipe: SceneRecipe, device: str | torch.device = "cpu") -> RenderFn:
    """Builds the scene of a SCENE wire and returns a function that renders it unlit and repeatably: the layers in
    WANTED."""
    scene = recipe.build(device)

    def render(cameras: Cameras) -> Rendering:
        with torch.inference_mode(False), torch.no_grad():
            parts = [scene.render(cameras.take(slice(start, start + VIEWS_AT_ONCE)).to(device), wanted=WANTED,
                                  shading="albedo") for start in range(0, len(cameras), VIEWS_AT_ONCE)]
            return Rendering(**{name: torch.cat([getattr(part, name).detach().cpu().float() for part in parts])
                                for name in WANTED if getattr(parts[0], name) is not None})

    return render


def take_pictures(render: RenderFn, cameras: Cameras) -> Pictures:
    """Pictures of a scene (`still_render`) or of the truth (`true_rendering`) from `cameras`.

    Raises DistillError when the rendering lacks albedo, opacity or normal, or holds numbers that are not finite.
    """
    rendering = render(cameras)
    for name in ("albedo", "opacity", "normal"):
        image = getattr(rendering, name)
        if image is None:
            raise DistillError(f'The renderer returned no "{name}", which the comparison with the truth needs.')
        if not bool(torch.isfinite(image).all()):
            raise DistillError(f'"{name}" of the rendered scene is not finite everywhere. '
                               "The run that made it diverged: lower the learning rate.")
    opacity = rendering.opacity.clamp(0, 1)
    color = (rendering.albedo + (1 - opacity)).clamp(0, 1)
    return Pictures(color, headlight(rendering.normal, opacity, cameras), opacity, rendering.normal)


def headlight(normal: Tensor, opacity: Tensor, cameras: Cameras) -> Tensor:
    """Gray pictures [B,H,W,1] over white of a surface without albedo, lit from the camera.

    normal [B,H,W,3] world, of any length; opacity [B,H,W,1]
    """
    _, directions = cameras.to("cpu").rays()
    cosine = -(F.normalize(normal, dim=-1) * directions).sum(-1, keepdim=True)
    return opacity * (AMBIENT + (1 - AMBIENT) * cosine.clamp(min=0)) + (1 - opacity)
