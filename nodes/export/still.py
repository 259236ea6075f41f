"""One picture of a scene for viewing: lit or unlit, over a background."""
from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.rendering import Light, Rendering, displayed

SHADINGS = ("albedo", "shaded", "textureless", "normal")
BACKGROUNDS = {"scene": None, "white": 1.0, "grey": 0.5, "black": 0.0}
# Room around the content when the distance is chosen automatically.
MARGIN = 1.1


def check_look(shading: str, background: str, node: str) -> None:
    """Raises DistillError for other names than SHADINGS and BACKGROUNDS."""
    if shading not in SHADINGS or background not in BACKGROUNDS:
        raise DistillError(f'{node}: shading "{shading}" must be one of {", ".join(SHADINGS)} and background '
                           f'"{background}" one of {", ".join(BACKGROUNDS)}.')


def filling_distance(scene: nn.Module, fovy: float) -> float:
    """Distance from the origin at which the scene fits a picture of fovy degrees: by its radius if it has one (scenes
    that reach into the corners of their bounds), otherwise by half the side of the cube around the bounds."""
    radius = scene.radius or float(scene.bounds.abs().amax())
    return MARGIN * radius / math.sin(math.radians(fovy) / 2)


def still(scene: nn.Module, camera: Cameras, shading: str, background: str) -> tuple[Tensor, Tensor]:
    """Pictures [B,H,W,3] in [0,1] and opacity [B,H,W,1].

    shading     "albedo" unlit, "shaded" lit from near the camera, "textureless" the same in white, or "normal":
                world-space normals, 0.5 + 0.5 n
    background  "scene" keeps the scene's own (normals: grey); "white", "grey" or "black"
    """
    grey = BACKGROUNDS[background]
    if shading == "normal":
        seen = scene.render(camera, wanted=("normal", "opacity"), shading="albedo")
        grey = 0.5 if grey is None else grey
        return (0.5 * (seen.normal + seen.opacity) + (1 - seen.opacity) * grey).clamp(0, 1), seen.opacity
    seen = scene.render(camera, _headlight(camera), ("rgb", "opacity"), shading=shading)
    return (_displayed(seen.rgb) if grey is None else _over(scene, seen, camera, grey)).clamp(0, 1), seen.opacity


def _over(scene: nn.Module, seen: Rendering, camera: Cameras, grey: float) -> Tensor:
    """The rendering over another background: the scene's own is taken out of the transparent share of each pixel."""
    own = scene.background(camera.rays()[1], None)
    return _displayed(seen.rgb) + (1 - seen.opacity) * (grey - _displayed(own))


def _displayed(image: Tensor) -> Tensor:
    """[B,H,W,C] as colours: see `displayed`."""
    return image if image.shape[-1] == 3 else displayed(image, False)


def _headlight(camera: Cameras) -> Light:
    """A light to the right of and above the camera, so that shapes are shaded but no visible side is dark."""
    right, up = camera.c2w[:, :3, 0], camera.c2w[:, :3, 1]
    position = camera.position + camera.distance[:, None] * (0.4 * right + 0.6 * up)
    one = torch.ones_like(camera.distance)
    return Light(position, 0.3 * one, 0.7 * one)
