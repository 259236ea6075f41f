"""Cameras: poses, lenses, and their rays.

                z up
                |   . camera at (azimuth, elevation), looking at the origin
                |  /
                | / elevation
                |/____ y          the world is right-handed, z up
               /  azimuth         the front of an object faces +x, azimuth 0;
              x                   azimuth grows from +x towards +y

Camera axes are OpenGL's: x right, y up, looking down -z. Columns of `c2w`: right, up, backward, position.
Image row 0 is the top.
"""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.lens import Lens, project, to_clip, toward
from ...kernels.lens import rays as lens_rays
from ...kernels.upload import upload

LENSES = ("perspective", "orthographic")
_TENSORS = ("c2w", "fovy", "azimuth", "elevation", "distance", "scale", "time")


@dataclass(frozen=True)
class Cameras:
    """A batch of cameras with one kind of lens: pinhole, or orthographic where `scale` is given.

    c2w        [B,4,4]  camera to world
    fovy       [B]      vertical field of view, radians. For an orthographic camera: the field of view of the pinhole
                        camera at the same pose that sees the same height of the plane through the origin. Its
                        projection does not use it
    height, width       pixels
    azimuth, elevation  [B]  radians; distance [B]: kept for conditioning on the view
    scale      [B]      orthographic: half the height that a picture covers, world units; or None
    time       [B]      the time of each picture, 0 to 1, for dynamic scenes; or None
    picture             for cameras of posed pictures: the index of each camera's picture; or None
    source              for cameras of posed pictures: the digest of those Pictures (see nodes.core.pictures)
    """

    c2w: Tensor
    fovy: Tensor
    height: int
    width: int
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    scale: Tensor | None = None
    time: Tensor | None = None
    picture: tuple[int, ...] | None = None
    source: str = ""

    def __len__(self) -> int:
        return self.c2w.shape[0]

    @property
    def position(self) -> Tensor:
        """[B,3] in world units."""
        return self.c2w[:, :3, 3]

    @property
    def is_orthographic(self) -> bool:
        return self.scale is not None

    @property
    def lens(self) -> Lens:
        return Lens.of(self.fovy) if self.scale is None else Lens(self.scale, True)

    @property
    def view_size(self) -> Tensor:
        """[B] half the height that a picture covers in the plane through the origin, world units."""
        return self.distance * torch.tan(0.5 * self.fovy) if self.scale is None else self.scale

    @cached_property
    def angles(self) -> list[tuple[float, float]]:
        """Azimuth and elevation of each camera, radians, as Python numbers. Cameras moved by `to` carry them along, so
        that reading them does not wait for the device."""
        return list(zip(self.azimuth.detach().tolist(), self.elevation.detach().tolist()))

    def to(self, device) -> "Cameras":
        moved = self._each(lambda tensor: upload(tensor, device))
        if self.azimuth.device.type == "cpu":
            moved.__dict__["angles"] = self.angles
        return moved

    def take(self, index) -> "Cameras":
        """The cameras at `index` (slice, list or tensor)."""
        taken = self._each(lambda tensor: tensor[index])
        if self.picture is None:
            return taken
        return replace(taken, picture=tuple(torch.tensor(self.picture)[index].tolist()))

    def resized(self, height: int, width: int) -> "Cameras":
        return replace(self, height=height, width=width)

    def rays(self) -> tuple[Tensor, Tensor]:
        """Origins and unit directions [B,H,W,3] of the rays through the pixel centres."""
        return lens_rays(self.lens, self.c2w, self.height, self.width)

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pixel coordinates [B,N,2] of points [N,3] or [B,N,3], and their depth along the view direction [B,N].

        x grows to the right and y downwards; the centre of the first pixel is (0.5, 0.5). The depth is above 0 in front
        of the camera.
        """
        return project(self.lens, self.c2w, points, self.height, self.width)

    def to_clip(self, points: Tensor, near: float = 0.01, far: float = 100.0) -> Tensor:
        """Clip-space positions [B,V,4] of points [V,3]. near, far: depth along the view direction, world units."""
        return to_clip(points, self.c2w, self.lens, self.height, self.width, near, far)

    def toward(self, points: Tensor) -> Tensor:
        """Vectors [B,N,3] from the origins of the rays to points [N,3] or [B,N,3], world units."""
        return toward(self.lens, self.c2w, points)

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors by name for a saved state. It leaves out `picture` and `source`."""
        found = {name: getattr(self, name) for name in (*_TENSORS, "height", "width")}
        return {name: torch.as_tensor(value) for name, value in found.items() if value is not None}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor]) -> "Cameras":
        """The cameras of a `state_dict`."""
        return cls(height=int(state["height"]), width=int(state["width"]),
                   **{name: state[name] for name in _TENSORS if name in state})

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Cameras":
        found = {name: getattr(self, name) for name in _TENSORS}
        return replace(self, **{name: change(tensor) for name, tensor in found.items() if tensor is not None})


def look_at(position: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """c2w [B,4,4] of cameras at `position` looking at `target` (all [B,3]), OpenGL axes.

    Where the view direction is parallel to `up`, +x replaces `up`, so straight-down views are valid.
    """
    backward = F.normalize(position - target, dim=-1)
    right = torch.cross(up, backward, dim=-1)
    along = right.norm(dim=-1, keepdim=True) < 1e-6
    right = F.normalize(torch.where(along,
                                    torch.cross(torch.tensor([1.0, 0, 0]).to(up).expand_as(up), backward, dim=-1),
                                    right), dim=-1)
    c2w = torch.zeros(len(position), 4, 4, device=position.device, dtype=position.dtype)
    c2w[:, :3, 0], c2w[:, :3, 1] = right, torch.cross(backward, right, dim=-1)
    c2w[:, :3, 2], c2w[:, :3, 3], c2w[:, 3, 3] = backward, position, 1
    return c2w


def on_sphere(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors [B,3] from the origin in the direction (azimuth, elevation), radians."""
    return torch.stack([torch.cos(elevation) * torch.cos(azimuth), torch.cos(elevation) * torch.sin(azimuth),
                        torch.sin(elevation)], -1)


def wrap_angle(angle: Tensor) -> Tensor:
    """The same angles in (-pi, pi], radians."""
    return angle - 2 * math.pi * torch.ceil((angle - math.pi) / (2 * math.pi))


def relative_pose(elevation: Tensor, azimuth: Tensor, to_elevation: Tensor, to_azimuth: Tensor,
                  farther: Tensor) -> Tensor:
    """The pose of a camera relative to another: [...,4] of polar angle, sine and cosine of azimuth, distance. Radians.

    Each number is the `to` camera minus the first one. The polar angle is 90 degrees - elevation, so a higher `to`
    camera has a negative first number (Liu et al. 2023, Zero123, published code).

    farther  difference of the distances from the origin, world units
    """
    turn = to_azimuth - azimuth
    return torch.stack(torch.broadcast_tensors(elevation - to_elevation, turn.sin(), turn.cos(), farther), -1)


def orbit(azimuth, elevation, distance, fovy, height: int, width: int, scale=None) -> Cameras:
    """Cameras on a sphere that look at the origin. Angles in radians, numbers or tensors [B].

    scale  None: pinhole cameras with the field of view `fovy`. A number or tensor [B], world units: orthographic
           cameras, each covering a height of 2 scale; `fovy` is ignored
    """
    is_orthographic = scale is not None
    azimuth, elevation, distance, lens = torch.broadcast_tensors(
        *(torch.as_tensor(value, dtype=torch.float32).reshape(-1)
          for value in (azimuth, elevation, distance, scale if is_orthographic else fovy)))
    fovy = 2 * torch.atan(lens / distance) if is_orthographic else lens.clone()
    position = on_sphere(azimuth, elevation) * distance[:, None]
    # The direction of growing elevation is the projection of z, and stays defined straight above and below.
    up = on_sphere(azimuth, elevation + 0.5 * math.pi)
    return Cameras(look_at(position, torch.zeros_like(position), up), fovy, height, width,
                   azimuth.clone(), elevation.clone(), distance.clone(), lens.clone() if is_orthographic else None)


def turntable(count: int, elevation: float, distance: float, fovy: float, size: int) -> Cameras:
    """`count` cameras evenly around the object. Angles in degrees."""
    azimuth = torch.arange(count) * (2 * math.pi / max(count, 1))
    return orbit(azimuth, math.radians(elevation), distance, math.radians(fovy), size, size)
