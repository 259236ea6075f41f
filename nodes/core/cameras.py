"""Cameras: where a scene is seen from.

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

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.upload import upload


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras.

    c2w        [B,4,4]  camera to world
    fovy       [B]      vertical field of view, radians
    height, width       pixels
    azimuth, elevation  [B]  radians; distance [B]: kept for conditioning on the view
    """

    c2w: Tensor
    fovy: Tensor
    height: int
    width: int
    azimuth: Tensor
    elevation: Tensor
    distance: Tensor

    def __len__(self) -> int:
        return self.c2w.shape[0]

    @property
    def position(self) -> Tensor:
        """[B,3] in world units."""
        return self.c2w[:, :3, 3]

    @cached_property
    def angles(self) -> list[tuple[float, float]]:
        """Azimuth and elevation of each camera as numbers. Cameras that came to a device by `to` know them already."""
        return list(zip(self.azimuth.detach().tolist(), self.elevation.detach().tolist()))

    def to(self, device) -> "Cameras":
        moved = replace(self, **{name: upload(getattr(self, name), device)
                                 for name in ("c2w", "fovy", "azimuth", "elevation", "distance")})
        if self.azimuth.device.type == "cpu":
            moved.__dict__["angles"] = self.angles
        return moved

    def take(self, index) -> "Cameras":
        """The cameras at `index` (slice, list or tensor)."""
        return replace(self, **{name: getattr(self, name)[index]
                                for name in ("c2w", "fovy", "azimuth", "elevation", "distance")})

    def resized(self, height: int, width: int) -> "Cameras":
        return replace(self, height=height, width=width)

    def rays(self) -> tuple[Tensor, Tensor]:
        """Origins and unit directions [B,H,W,3] through the pixel centres."""
        device, dtype = self.c2w.device, self.c2w.dtype
        focal = 0.5 * self.height / torch.tan(0.5 * self.fovy)
        x = torch.arange(self.width, device=device, dtype=dtype) + 0.5 - 0.5 * self.width
        y = 0.5 * self.height - torch.arange(self.height, device=device, dtype=dtype) - 0.5
        y, x = torch.meshgrid(y, x, indexing="ij")
        local = torch.stack([x.expand(len(self), -1, -1) / focal[:, None, None],
                             y.expand(len(self), -1, -1) / focal[:, None, None],
                             -torch.ones(len(self), self.height, self.width, device=device, dtype=dtype)], -1)
        directions = F.normalize(torch.einsum("bij,bhwj->bhwi", self.c2w[:, :3, :3], local), dim=-1)
        return self.position[:, None, None, :].expand_as(directions), directions


def look_at(position: Tensor, target: Tensor, up: Tensor) -> Tensor:
    """c2w [B,4,4] of cameras at `position` looking at `target` (all [B,3]), OpenGL axes.

    Where the view runs along `up`, +x takes its place, so straight-down views are valid.
    """
    backward = F.normalize(position - target, dim=-1)
    right = torch.cross(up, backward, dim=-1)
    along = right.norm(dim=-1, keepdim=True) < 1e-6
    right = F.normalize(torch.where(along, torch.cross(torch.tensor([1.0, 0, 0]).to(up).expand_as(up), backward, dim=-1),
                                    right), dim=-1)
    c2w = torch.zeros(len(position), 4, 4, device=position.device, dtype=position.dtype)
    c2w[:, :3, 0], c2w[:, :3, 1] = right, torch.cross(backward, right, dim=-1)
    c2w[:, :3, 2], c2w[:, :3, 3], c2w[:, 3, 3] = backward, position, 1
    return c2w


def on_sphere(azimuth: Tensor, elevation: Tensor) -> Tensor:
    """Unit vectors [B,3] towards (azimuth, elevation), radians."""
    return torch.stack([torch.cos(elevation) * torch.cos(azimuth), torch.cos(elevation) * torch.sin(azimuth),
                        torch.sin(elevation)], -1)


def wrap_angle(angle: Tensor) -> Tensor:
    """The same angles in (-pi, pi], radians."""
    return angle - 2 * math.pi * torch.ceil((angle - math.pi) / (2 * math.pi))


def relative_pose(elevation: Tensor, azimuth: Tensor, to_elevation: Tensor, to_azimuth: Tensor, farther: Tensor) -> Tensor:
    """Where a camera is, seen from another: [...,4] of polar angle, sine and cosine of azimuth, distance. Radians.

    The differences are `to` minus the other, and polar = 90 degrees - elevation: a camera that looks from higher up has a
    negative first number (Liu et al. 2023, Zero123, published code). farther: difference of the distances, world units.
    """
    turn = to_azimuth - azimuth
    return torch.stack(torch.broadcast_tensors(elevation - to_elevation, turn.sin(), turn.cos(), farther), -1)


def orbit(azimuth, elevation, distance, fovy, height: int, width: int) -> Cameras:
    """Cameras on a sphere that look at the origin. Angles in radians, numbers or tensors [B]."""
    azimuth, elevation, distance, fovy = torch.broadcast_tensors(
        *(torch.as_tensor(value, dtype=torch.float32).reshape(-1) for value in (azimuth, elevation, distance, fovy)))
    position = on_sphere(azimuth, elevation) * distance[:, None]
    # The direction in which elevation grows is z's picture, and stays defined straight above and below.
    up = on_sphere(azimuth, elevation + 0.5 * math.pi)
    return Cameras(look_at(position, torch.zeros_like(position), up), fovy.clone(), height, width,
                   azimuth.clone(), elevation.clone(), distance.clone())


def turntable(count: int, elevation: float, distance: float, fovy: float, size: int) -> Cameras:
    """`count` cameras evenly around the object. Angles in degrees."""
    azimuth = torch.arange(count) * (2 * math.pi / max(count, 1))
    return orbit(azimuth, math.radians(elevation), distance, math.radians(fovy), size, size)
