"""Posed pictures: pictures of an object and their cameras."""
from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.resize import resize
from .cameras import Cameras, orbit, wrap_angle
from .errors import DistillError


@dataclass(frozen=True)
class Target:
    """Pictures at the size of a rendering, one per view. normal and depth are None if no picture has them.

    rgb     [B,H,W,C]  multiplied by mask: rgb + (1 - mask) * background is the picture over any background
    mask    [B,H,W,1]  in [0,1]
    inside  [B,H,W,1]  bool: mask > 1/2
    depth   [B,H,W,1]  grows away from the camera, scale and shift unknown; NaN in views without depth
    normal  [B,H,W,3]  unit or zero, camera axes (x right, y up, z to the viewer); zero in views without normals
    """

    rgb: Tensor
    mask: Tensor
    inside: Tensor
    depth: Tensor | None
    normal: Tensor | None

    def to(self, device: torch.device) -> "Target":
        return Target(*(None if image is None else image.to(device) for image in vars(self).values()))

    def take(self, index: Sequence[int]) -> "Target":
        """The pictures at `index`. One picture is repeated without a copy."""
        if len(self.mask) == 1:
            return Target(*(None if image is None else image.expand(len(index), -1, -1, -1)
                            for image in vars(self).values()))
        return Target(*(None if image is None else image[list(index)] for image in vars(self).values()))


@dataclass(frozen=True, eq=False, repr=False)
class Pictures:
    """The value of a PICTURES wire: V square pictures of one object and their cameras. Its tensors are read-only.

    cameras    V cameras of S x S pixels, one per picture
    rgb        [V,S,S,C] in [0,1] (C = 3), undefined where the mask is 0
    mask       [V,S,S,1] in [0,1], 1 on the object
    is_masked  whether the masks separate the object from the background
    depth      [V,S,S,1] grows away from the camera, scale and shift unknown, NaN in pictures without depth; or None
    normal     [V,S,S,3] camera axes (x right, y up, z to the viewer), any length, zero in pictures without normals; or
               None
    weight     [V] >= 0: relative probability of each picture in random sampling; None: equal

    Its repr is a digest of the content, equal in every process, so that fingerprints of runs can contain it.
    """

    cameras: Cameras
    rgb: Tensor
    mask: Tensor
    is_masked: bool = True
    depth: Tensor | None = None
    normal: Tensor | None = None
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rgb)

    @cached_property
    def digest(self) -> str:
        cameras = self.cameras
        digest = hashlib.sha256(f"{self.is_masked} {cameras.height} {cameras.width}".encode())
        tensors = {name: getattr(self, name) for name in ("rgb", "mask", "depth", "normal", "weight")}
        for name, tensor in {**tensors, "c2w": cameras.c2w, "fovy": cameras.fovy, "scale": cameras.scale,
                             "time": cameras.time}.items():
            if tensor is not None:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:20]

    def __repr__(self) -> str:
        return f"Pictures({self.digest})"

    def over(self, background: float | Tensor) -> Tensor:
        """The pictures [V,S,S,C] composited over a colour."""
        return self.rgb * self.mask + (1 - self.mask) * background

    def views(self, index: Sequence[int], height: int, width: int) -> Cameras:
        """The cameras of the pictures at `index`, with `picture` and `source` set."""
        cameras = self.cameras.take(list(index)).resized(height, width)
        return replace(cameras, picture=tuple(index), source=self.digest)

    def index_of(self, cameras: Cameras) -> tuple[int, ...] | None:
        """The index of each camera's picture, or None if a camera has no picture.

        Cameras from `views` name their pictures. For others, the picture with the same pose and lens is found (largest
        difference below 2e-4).
        """
        if cameras.source == self.digest:
            return cameras.picture
        own = self.cameras.to(cameras.c2w.device)
        if own.is_orthographic != cameras.is_orthographic:
            return None
        off = torch.maximum((cameras.c2w[:, None] - own.c2w).abs().flatten(2).amax(2),
                            (cameras.lens.half[:, None] - own.lens.half).abs())
        least, index = off.min(1)
        return tuple(index.tolist()) if bool((least < 2e-4).all()) else None

    def at(self, height: int, width: int) -> Target:
        """The pictures low-pass filtered to height x width. Pixels outside the mask do not affect the result."""
        mask = self.mask.clone()  # ComfyUI makes inference tensors, which autograd cannot use
        small = resize(mask, height, width).clamp(0, 1)

        def shrink(image: Tensor) -> Tensor:
            return resize(image.clone() * mask, height, width)

        depth = None if self.depth is None else shrink(self.depth) / small.clamp_min(1e-6)
        normal = None if self.normal is None else F.normalize(shrink(self.normal), dim=-1)
        return Target(shrink(self.rgb), small, small > 0.5, depth, normal)


def orbit_camera(name: str, elevation: float, azimuth: float, distance: float, fovy: float, size: int,
                 scale: float | None = None) -> Cameras:
    """One camera on a sphere around the origin, looking at it. Angles in degrees; scale: see `orbit`.

    Raises DistillError, beginning with the node's `name`.
    """
    if not (-90 <= elevation <= 90 and distance > 0 and 0 < fovy < 180 and math.isfinite(azimuth)):
        raise DistillError(f"{name}: elevation {elevation} must lie in -90 .. 90 degrees, distance {distance} above 0, "
                           f"fovy {fovy} between 0 and 180 degrees, and azimuth {azimuth} must be finite.")
    turn = wrap_angle(torch.deg2rad(torch.tensor([float(azimuth)])))
    return orbit(turn, math.radians(elevation), distance, math.radians(fovy), size, size, scale)


def join(parts: Sequence[Pictures]) -> Pictures:
    """All pictures of `parts` in this order, at the size of the largest. All must have one lens and one number of
    channels.

    Raises DistillError.
    """
    first = parts[0]
    if len({(part.cameras.is_orthographic, part.rgb.shape[-1]) for part in parts}) > 1:
        raise DistillError("Join Pictures: the pictures differ in their lens (perspective or orthographic) or their "
                           "number of channels. Join pictures with the same lens and number of channels.")
    size = max(part.rgb.shape[1] for part in parts)

    def images(name: str, channels: int, empty: float) -> Tensor | None:
        found = [getattr(part, name) for part in parts]
        if all(image is None for image in found):
            return None
        return torch.cat([torch.full((len(part), size, size, channels), empty) if image is None
                          else resize(image, size, size) for part, image in zip(parts, found)])

    cameras = [part.cameras.resized(size, size) for part in parts]
    tensors = {name: torch.cat([getattr(one, name) for one in cameras])
               for name in ("c2w", "fovy", "azimuth", "elevation", "distance")}
    for name in "scale", "time":
        if all(getattr(one, name) is not None for one in cameras):
            tensors[name] = torch.cat([getattr(one, name) for one in cameras])
    weight = torch.cat([torch.ones(len(part)) if part.weight is None else part.weight for part in parts])
    return Pictures(Cameras(**tensors, height=size, width=size), images("rgb", first.rgb.shape[-1], 0.0),
                    images("mask", 1, 1.0), all(part.is_masked for part in parts), images("depth", 1, math.nan),
                    images("normal", 3, 0.0), None if bool((weight == 1).all()) else weight)
