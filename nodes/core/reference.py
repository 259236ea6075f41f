"""A reference: a picture of the object, where it was taken from, and what else is known about it."""
from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.resize import resize
from .cameras import Cameras, orbit, wrap_angle
from .errors import DistillError
from .rng import Streams


@dataclass(frozen=True)
class StillView:
    """A VIEWS recipe: always this camera, on a sphere around the origin and looking at it.

    elevation, azimuth, fovy  degrees; distance in world units
    """

    elevation: float = 5.0
    azimuth: float = 0.0
    distance: float = 3.8
    fovy: float = 20.0

    def __post_init__(self):
        if not (-90 <= self.elevation <= 90 and self.distance > 0 and 0 < self.fovy < 180 and math.isfinite(self.azimuth)):
            raise DistillError(f"Reference View: elevation {self.elevation} must lie in -90 .. 90 degrees, distance "
                               f"{self.distance} above 0, fovy {self.fovy} between 0 and 180 degrees.")

    def sample(self, batch: int, height: int, width: int, step: int = 0, total: int = 1,
               streams: Streams | None = None) -> Cameras:
        """The camera, `batch` times."""
        azimuth = wrap_angle(torch.deg2rad(torch.tensor([float(self.azimuth)])))
        return orbit(azimuth.expand(batch), math.radians(self.elevation), self.distance, math.radians(self.fovy),
                     height, width)


@dataclass(frozen=True)
class Target:
    """A reference at the size of a rendering; normal and depth are None where the reference has none.

    rgb     [1,H,W,3]  times mask, so that rgb + (1 - mask) * background is the picture over any background
    mask    [1,H,W,1]  in [0,1]
    inside  [1,H,W,1]  bool: where the mask is above a half
    depth   [1,H,W,1]  grows away from the camera, scale and shift unknown
    normal  [1,H,W,3]  unit or zero, camera axes (x right, y up, z to the viewer)
    """

    rgb: Tensor
    mask: Tensor
    inside: Tensor
    depth: Tensor | None
    normal: Tensor | None


@dataclass(frozen=True, eq=False, repr=False)
class Reference:
    """What a REFERENCE wire carries: square pictures of one view in the size that they came in. Never written to.

    view       where it was taken from
    rgb        [1,S,S,3] in [0,1]; meaningless where the mask is 0
    mask       [1,S,S,1] in [0,1], 1 on the object
    is_masked  whether the mask tells the object from what surrounds it
    depth      [1,S,S,1] grows away from the camera, scale and shift unknown; or None
    normal     [1,S,S,3] camera axes (x right, y up, z to the viewer), any length; or None

    Its text is a digest of the content, the same in every process.
    """

    view: StillView
    rgb: Tensor
    mask: Tensor
    is_masked: bool = True
    depth: Tensor | None = None
    normal: Tensor | None = None

    @cached_property
    def digest(self) -> str:
        digest = hashlib.sha256(f"{self.view} {self.is_masked}".encode())
        for name in ("rgb", "mask", "depth", "normal"):
            image = getattr(self, name)
            if image is not None:
                digest.update(f"{name} {image.dtype} {tuple(image.shape)}".encode())
                digest.update(image.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:20]

    def __repr__(self) -> str:
        return f"Reference({self.digest})"

    def over(self, background: float | Tensor) -> Tensor:
        """The picture [1,S,S,3] over a colour."""
        return self.rgb * self.mask + (1 - self.mask) * background

    def at(self, height: int, width: int) -> Target:
        """Low-pass filtered to a rendering's size. Nothing from outside the mask reaches the inside."""
        mask = self.mask.clone()  # a copy: the host's are inference tensors, which gradients cannot pass by
        small = resize(mask, height, width).clamp(0, 1)

        def shrink(image: Tensor) -> Tensor:
            return resize(image.clone() * mask, height, width)

        depth = None if self.depth is None else shrink(self.depth) / small.clamp_min(1e-6)
        normal = None if self.normal is None else F.normalize(shrink(self.normal), dim=-1)
        return Target(shrink(self.rgb), small, small > 0.5, depth, normal)
