"""What losses show a tower of a rendering: crops of it, over backgrounds that change."""
from __future__ import annotations

import torch
from torch import Tensor

from ...kernels.image.augment import BACKDROPS, backdrop, random_crops
from ..core.errors import DistillError
from ..core.loss import Look
from ..core.picture import IMAGES, picture

BACKGROUNDS = ("scene", "random textures")
SHOWN = tuple(name for name in ("rgb", "normal", "camera normal") if name in IMAGES)


def wanted_for(image: str, background: str) -> frozenset[str]:
    """Fields of Rendering that `tower_views` reads."""
    fields = IMAGES[image].fields | {"opacity"}
    return fields | {"background"} if background != BACKGROUNDS[0] and image == "rgb" else fields


def tower_views(look: Look, image: str, background: str, crops: int, least: float, most: float, title: str) -> Tensor:
    """Pictures [crops * B,H,W,3] of a look: the B views, `crops` times over. Differentiable.

    image        one of SHOWN
    background   "scene", or "random textures": noise, a checkerboard or waves behind the object, new for each picture
    crops        0: whole pictures, once
    least, most  side of a crop, relative to the picture's
    """
    rgb = picture(look.rendering, look.cameras, image)
    if rgb.shape[-1] != 3 or rgb.shape[1] != rgb.shape[2]:
        raise DistillError(f"{title}: it sees square pictures of 3 channels, this rendering is {tuple(rgb.shape[1:])}.")
    count = max(crops, 1)
    rgb = rgb.repeat(count, 1, 1, 1)
    generator = look.streams("augmentation")
    if background != BACKGROUNDS[0] and image == "rgb":
        if look.rendering.background is None:
            raise DistillError(f"{title}: this scene's renderer does not give its background. Set \"background\" to "
                               f'"{BACKGROUNDS[0]}".')
        height, width = rgb.shape[1:3]
        kinds = torch.randint(len(BACKDROPS), (len(rgb),), generator=generator).tolist()
        behind = torch.stack([backdrop(BACKDROPS[kind], height, width, generator) for kind in kinds]).to(rgb)
        empty = (1 - look.rendering.opacity).repeat(count, 1, 1, 1)
        rgb = rgb + empty * (behind - look.rendering.background.repeat(count, 1, 1, 1))
    return random_crops(rgb, least, most, generator) if crops else rgb
