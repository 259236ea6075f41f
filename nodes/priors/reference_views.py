"""Posed pictures as conditions of priors: from images and angles, with their relative poses and weights."""
from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.cameras import Cameras, on_sphere, orbit, relative_pose
from ..core.errors import DistillError
from ..core.pictures import Pictures

NEAREST = math.radians(0.01)  # smaller angles are set to this one
FOVY = math.radians(50)      # of cameras whose lens is not used
SMALLEST = 0.1                # as a fraction of the nearest view's weight


def picture_poses(pictures: Pictures, cameras: Cameras) -> Tensor:
    """The pose of each camera relative to each of R pictures: relative_pose [B,R,4]. The distance of a picture is that
    of the camera if it is 0."""
    own = pictures.cameras.to(cameras.azimuth.device)
    farther = torch.where(own.distance > 0, cameras.distance[:, None] - own.distance, 0.0)
    return relative_pose(own.elevation, own.azimuth, cameras.elevation[:, None], cameras.azimuth[:, None], farther)


def picture_weights(pictures: Pictures, cameras: Cameras) -> Tensor:
    """The weight of each picture for each camera: [B,R] on the CPU, rows sum to 1.

    It is 1 / angle between the two directions, and 0 below a tenth of the nearest picture's weight
    (stable-dreamfusion's Zero123 guidance).
    """
    # The weights determine how many rows a model computes, so they are computed on the CPU.
    ours, theirs = (on_sphere(*torch.tensor(each.angles).T) for each in (pictures.cameras, cameras))
    ours, theirs = ours.expand(len(theirs), -1, -1), theirs[:, None].expand(-1, len(ours), -1)
    # Unlike the arc cosine, exact for small angles.
    angle = torch.atan2(torch.linalg.cross(ours, theirs).norm(dim=-1), (ours * theirs).sum(-1))
    weight = 1 / angle.clamp_min(NEAREST)
    weight = weight / weight.amax(1, keepdim=True)
    weight = torch.where(weight < SMALLEST, 0.0, weight)
    return weight / weight.sum(1, keepdim=True)


def reference_views(name: str, image: Tensor, mask: Tensor | None = None, elevation: str = "5", azimuth: str = "0",
                    distance: float = 0.0) -> Pictures:
    """Posed pictures from images in any shape, for priors that are conditioned on them over white.

    image     [R,H,W,3], or [R,H,W,4] with opacity, in [0,1]. They are padded to squares, outside the mask
    mask      [R,H,W] or one for all, 1 on the object; of any size
    elevation, azimuth  degrees, separated by commas: one number per picture, or one for all
    distance  of the cameras from the origin, world units; 0: unknown (the distance of the cameras is 0 then)

    Raises DistillError, beginning with `name`.
    """
    if image.ndim != 4 or image.shape[-1] not in (3, 4) or not image.numel():
        raise DistillError(f"{name}: the reference image has the shape {list(image.shape)}. Connect pictures "
                           "[R,H,W,3].")
    opacity = image[..., 3:] if image.shape[-1] == 4 else torch.ones_like(image[..., :1])
    if mask is not None:
        opacity = _fitting(name, mask, image).expand_as(opacity)
    count, height, width = image.shape[:3]
    top, left = max(width - height, 0), max(height - width, 0)
    margins = (0, 0, left // 2, left - left // 2, top // 2, top - top // 2)
    is_masked = bool((opacity < 0.5).any())
    rgb, opacity = (F.pad(part.clamp(0, 1), margins) for part in (image[..., :3], opacity))
    elevations, azimuths = _numbers(name, "elevation", elevation, count), _numbers(name, "azimuth", azimuth, count)
    if not all(-90 <= angle <= 90 for angle in elevations):
        raise DistillError(f"{name}: the elevation {elevation} is not between -90 and 90 degrees.")
    size = rgb.shape[1]
    angles = (torch.deg2rad(torch.tensor(numbers, dtype=torch.float32)) for numbers in (azimuths, elevations))
    cameras = orbit(*angles, distance or 1.0, FOVY, size, size)
    return Pictures(replace(cameras, distance=torch.full((count,), distance)), rgb, opacity, is_masked)


def _fitting(name, mask, image):
    """The mask as opacity [R or 1,H,W,1]."""
    mask = mask if mask.ndim == 3 else mask[None]
    if len(mask) not in (1, len(image)):
        raise DistillError(f"{name}: there are {len(mask)} masks for {len(image)} images. Connect one per image, or "
                           "one.")
    if not bool((mask.flatten(1).amax(1) > 0.5).all()):
        raise DistillError(f"{name}: the mask is empty, so no part of the object is left. A mask is 1 on the object: "
                           "Load Image gives none for a picture without transparency, and an inverted one otherwise "
                           "(use Invert Mask).")
    if mask.shape[1:] != image.shape[1:3]:
        mask = F.interpolate(mask[:, None], image.shape[1:3], mode="bilinear", antialias=True)[:, 0]
    return mask[..., None]


def over_white(pictures: Pictures) -> Tensor:
    """The pictures [R,S,S,3] over white. The order of operations is fixed, because saved runs depend on its
    rounding."""
    if not pictures.is_masked:
        return pictures.over(1.0)
    return (pictures.rgb * pictures.mask + 1 - pictures.mask).clamp(0, 1)


def has_white_border(pictures: Pictures) -> bool:
    """Whether the border pixels of the pictures over white are white on average: objects do not touch the border."""
    rgb = over_white(pictures)
    border = torch.cat([rgb[:, 0], rgb[:, -1], rgb[:, :, 0], rgb[:, :, -1]], 1)
    return bool((border.mean((1, 2)) > 0.8).all())


def _numbers(name, widget, text, count) -> tuple[float, ...]:
    try:
        numbers = [float(piece) for piece in text.replace("\n", ",").split(",") if piece.strip()]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, count) or not all(map(math.isfinite, numbers)):
        raise DistillError(f'{name}: "{widget}" is "{text}" for {count} reference image{"s" if count > 1 else ""}. '
                           'Write one number in degrees per image, separated by commas, or one for all.')
    return tuple(numbers) * (count if len(numbers) == 1 else 1)
