"""Pictures of an object from known directions, for priors that paint it as seen from elsewhere."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.cameras import Cameras, on_sphere, relative_pose
from ..core.errors import DistillError

NEAREST = math.radians(0.01)  # angles below count as this one
SMALLEST = 0.1                # of the nearest view's weight


@dataclass(frozen=True, eq=False)
class ReferenceViews:
    """R pictures over white and where they were taken from.

    rgb        [R,S,S,3] in [0,1]
    elevation, azimuth  degrees, one number per picture
    distance   of the camera from the origin, world units; 0: whatever distance it is compared with
    """

    rgb: Tensor
    elevation: tuple[float, ...]
    azimuth: tuple[float, ...]
    distance: float = 0.0

    def __len__(self) -> int:
        return len(self.rgb)

    def angles(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Elevation and azimuth [R] in radians, on the device of `like`."""
        return tuple(torch.deg2rad(torch.tensor(angles, dtype=torch.float32, device=like.device))
                     for angles in (self.elevation, self.azimuth))

    def poses(self, cameras: Cameras) -> Tensor:
        """Where each camera is, seen from each picture's: relative_pose [B,R,4]."""
        elevation, azimuth = self.angles(cameras.azimuth)
        farther = cameras.distance - self.distance if self.distance else torch.zeros_like(cameras.distance)
        return relative_pose(elevation, azimuth, cameras.elevation[:, None], cameras.azimuth[:, None], farther[:, None])

    def weights(self, cameras: Cameras) -> Tensor:
        """How much each picture says about each camera's view: [B,R], rows sum to 1.

        1 / angle between the two directions, where views that weigh less than a tenth of the nearest one's are left out
        (stable-dreamfusion's Zero123 guidance).
        """
        elevation, azimuth = self.angles(cameras.azimuth)
        ours, theirs = on_sphere(azimuth, elevation), on_sphere(cameras.azimuth, cameras.elevation)
        ours, theirs = ours.expand(len(theirs), -1, -1), theirs[:, None].expand(-1, len(ours), -1)
        # Unlike the arc cosine, exact for small angles.
        angle = torch.atan2(torch.linalg.cross(ours, theirs).norm(dim=-1), (ours * theirs).sum(-1))
        weight = 1 / angle.clamp_min(NEAREST)
        weight = weight / weight.amax(1, keepdim=True)
        weight = torch.where(weight < SMALLEST, 0.0, weight)
        return weight / weight.sum(1, keepdim=True)


def reference_views(name: str, image: Tensor, mask: Tensor | None = None, elevation: str = "5", azimuth: str = "0",
                    distance: float = 0.0) -> ReferenceViews:
    """Views from pictures as they come.

    image  [R,H,W,3], or [R,H,W,4] with opacity, in [0,1]. What is not square gets white margins
    mask   [R,H,W] or one for all, 1 on the object; of any size
    elevation, azimuth  degrees with commas between them: one number per picture, or one for all

    Raises DistillError, beginning with `name`.
    """
    if image.ndim != 4 or image.shape[-1] not in (3, 4) or not image.numel():
        raise DistillError(f"{name}: the reference image has the shape {list(image.shape)}. Connect pictures [R,H,W,3].")
    opacity = image[..., 3:] if image.shape[-1] == 4 else None
    if mask is not None:
        opacity = _fitting(name, mask, image)
    rgb = image[..., :3] if opacity is None else image[..., :3] * opacity + 1 - opacity
    count, height, width = rgb.shape[:3]
    top, left = max(width - height, 0), max(height - width, 0)
    rgb = F.pad(rgb, (0, 0, left // 2, left - left // 2, top // 2, top - top // 2), value=1.0)
    elevations, azimuths = _numbers(name, "elevation", elevation, count), _numbers(name, "azimuth", azimuth, count)
    if not all(-90 <= angle <= 90 for angle in elevations):
        raise DistillError(f"{name}: the elevation {elevation} is no angle between -90 and 90 degrees.")
    return ReferenceViews(rgb.clamp(0, 1), elevations, azimuths, distance)


def _fitting(name, mask, image):
    """The mask as opacity [R or 1,H,W,1]."""
    mask = mask if mask.ndim == 3 else mask[None]
    if len(mask) not in (1, len(image)):
        raise DistillError(f"{name}: there are {len(mask)} masks for {len(image)} images. Connect one per image, or one.")
    if not bool((mask.flatten(1).amax(1) > 0.5).all()):
        raise DistillError(f"{name}: the mask is empty, so nothing of the object would be left. It is 1 on the object: Load "
                           "Image gives none for a picture without transparency, and an inverted one otherwise (use Invert Mask).")
    if mask.shape[1:] != image.shape[1:3]:
        mask = F.interpolate(mask[:, None], image.shape[1:3], mode="bilinear", antialias=True)[:, 0]
    return mask[..., None]


def has_white_border(views: ReferenceViews) -> bool:
    """Whether the pictures' outermost pixels are white on average: objects stand free."""
    rgb = views.rgb
    border = torch.cat([rgb[:, 0], rgb[:, -1], rgb[:, :, 0], rgb[:, :, -1]], 1)
    return bool((border.mean((1, 2)) > 0.8).all())


def _numbers(name, widget, text, count) -> tuple[float, ...]:
    try:
        numbers = [float(piece) for piece in text.replace("\n", ",").split(",") if piece.strip()]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, count) or not all(map(math.isfinite, numbers)):
        raise DistillError(f'{name}: "{widget}" is "{text}" for {count} reference image{"s" if count > 1 else ""}. Write one '
                           "number in degrees per image with commas between them, or one for all.")
    return tuple(numbers) * (count if len(numbers) == 1 else 1)
