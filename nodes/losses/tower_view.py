"""The input images of a tower: crops of a rendering, optionally over random backgrounds."""
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
    """Images [crops * B,H,W,3] of a look: the B views, repeated `crops` times. Differentiable in the rendering.

    image        one of SHOWN
    background   "scene", or "random textures": noise, a checkerboard or waves, drawn for each image
    crops        0: whole images, once
    least, most  side of a crop, relative to the image's
    """
    rgb = picture(look.rendering, look.cameras, image)
    if rgb.shape[-1] != 3 or rgb.shape[1] != rgb.shape[2]:
        raise DistillError(f"{title}: a square rendering with 3 channels is needed, this one is "
                           f"{tuple(rgb.shape[1:])}. Set height and width equal, and use a material of colours.")
    count = max(crops, 1)
    rgb = rgb.repeat(count, 1, 1, 1)
    generator = look.streams("augmentation")
    if background != BACKGROUNDS[0] and image == "rgb":
        if look.rendering.background is None:
            raise DistillError(f"{title}: this scene's renderer does not return its background. Set \"background\" to "
                               f'"{BACKGROUNDS[0]}".')
        height, width = rgb.shape[1:3]
        kinds = torch.randint(len(BACKDROPS), (len(rgb),), generator=generator).tolist()
        behind = torch.stack([backdrop(BACKDROPS[kind], height, width, generator) for kind in kinds]).to(rgb)
        empty = (1 - look.rendering.opacity).repeat(count, 1, 1, 1)
        rgb = rgb + empty * (behind - look.rendering.background.repeat(count, 1, 1, 1))
    return random_crops(rgb, least, most, generator) if crops else rgb
