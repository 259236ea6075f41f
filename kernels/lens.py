"""Lenses: rays, projection and clip space of pinhole and orthographic cameras.

Every renderer takes its geometry from here. Cameras are c2w [B,4,4], a rotation and a translation, with OpenGL axes
(x right, y up, looks down -z). Pixels are square; the centre of the first one is (0.5, 0.5), x to the right and y down.
"""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F

from .checks import check_shape


class Lens(NamedTuple):
    """The lens of B cameras.

    half             [B] half the height of what a picture shows, > 0: of a pinhole the height at distance 1, which is
                     tan(fovy / 2); of an orthographic lens the height anywhere, in world units
    is_orthographic  whether the rays are parallel
    """

    half: torch.Tensor
    is_orthographic: bool = False

    @staticmethod
    def of(lens: "Lens | torch.Tensor") -> "Lens":
        """A Lens as it is; a tensor [B] is the vertical field of view of pinholes, radians in (0, pi)."""
        if isinstance(lens, Lens):
            return lens
        check_shape("fovy", lens, "B")
        return Lens(torch.tan(0.5 * lens))

    def focal(self, height: int) -> torch.Tensor:
        """[B] pixels: of a pinhole the focal length; of an orthographic lens pixels per world unit."""
        return 0.5 * height / self.half

    def to(self, dtype: torch.dtype) -> "Lens":
        return Lens(self.half.to(dtype), self.is_orthographic)


def rays(lens: Lens, c2w: torch.Tensor, height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Origins and unit directions [B,H,W,3] of the rays through the pixel centres.

    Rays of a pinhole leave its position. Those of an orthographic lens leave the plane through the position that is
    parallel to the picture. Differentiable in c2w and lens.half. Raises ShapeError.
    """
    _check(lens, c2w)
    device, dtype = c2w.device, c2w.dtype
    focal = lens.focal(height)
    x = torch.arange(width, device=device, dtype=dtype) + 0.5 - 0.5 * width
    y = 0.5 * height - torch.arange(height, device=device, dtype=dtype) - 0.5
    y, x = torch.meshgrid(y, x, indexing="ij")
    x, y = (axis.expand(len(c2w), -1, -1) / focal[:, None, None] for axis in (x, y))
    position = c2w[:, None, None, :3, 3]
    if lens.is_orthographic:
        shift = torch.einsum("bij,bhwj->bhwi", c2w[:, :3, :2], torch.stack([x, y], -1))
        return position + shift, F.normalize(-c2w[:, None, None, :3, 2], dim=-1).expand_as(shift)
    local = torch.stack([x, y, -torch.ones(len(c2w), height, width, device=device, dtype=dtype)], -1)
    directions = F.normalize(torch.einsum("bij,bhwj->bhwi", c2w[:, :3, :3], local), dim=-1)
    return position.expand_as(directions), directions


def project(lens: Lens, c2w: torch.Tensor, points: torch.Tensor, height: int,
            width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Projects points [N,3] or [B,N,3]: pixels [B,N,2] (x right, y down), and distances along the view direction [B,N].

    A point with a distance <= 0 is not visible; its pixel under a pinhole is meaningless. Differentiable in all
    tensors. Raises ShapeError.
    """
    _check(lens, c2w)
    x, y, ahead = _local(c2w, points).unbind(-1)
    ahead = -ahead
    focal = lens.focal(height)[:, None]
    reach = torch.ones_like(ahead) if lens.is_orthographic else ahead
    return torch.stack([focal * x / reach + 0.5 * width, 0.5 * height - focal * y / reach], -1), ahead


def to_clip(points: torch.Tensor, c2w: torch.Tensor, lens: "Lens | torch.Tensor", height: int, width: int,
            near: float = 0.01, far: float = 100.0) -> torch.Tensor:
    """Clip-space positions [B,V,4] of world points [V,3], for `rasterize`.

    lens       a Lens, or the fields of view [B] of pinholes, radians
    near, far  distances of the clip planes along the view direction, 0 < near < far

    z/w runs from -1 at near to 1 at far. w is the distance along the view direction for a pinhole, 1 for an
    orthographic lens. The ray through a pixel's centre meets what that pixel shows. Differentiable in all tensors.
    Raises ShapeError, ValueError.
    """
    check_shape("vertices", points, "V", 3)
    lens = Lens.of(lens)
    _check(lens, c2w)
    matrix = clip_matrix(lens, width / height, near, far)
    return _local(c2w, points) @ matrix[:, :, :3].mT + matrix[:, None, :, 3]


def clip_matrix(lens: "Lens | torch.Tensor", aspect: float, near: float = 0.01, far: float = 100.0) -> torch.Tensor:
    """OpenGL projection matrices [B,4,4] from camera space to clip space; see `to_clip`. aspect: width / height."""
    lens = Lens.of(lens)
    if not 0 < near < far:
        raise ValueError(f"clip_matrix: near is {near} and far is {far}; they must satisfy 0 < near < far.")
    focal = 1 / lens.half
    zero, one = torch.zeros_like(lens.half), torch.ones_like(lens.half)
    across = [focal / aspect, zero, zero, zero, zero, focal, zero, zero]
    if lens.is_orthographic:
        rows = [*across, zero, zero, -one * (2 / (far - near)), -one * ((far + near) / (far - near)), zero, zero, zero,
                one]
    else:
        rows = [*across, zero, zero, -one * ((far + near) / (far - near)), -one * (2 * far * near / (far - near)),
                zero, zero, -one, zero]
    return torch.stack(rows, -1).view(-1, 4, 4)


def toward(lens: Lens, c2w: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Vectors [B,N,3] from the cameras to points [N,3] or [B,N,3]. For an orthographic lens those along the view
    direction from the plane through the position. Their length is the distance along the ray."""
    offset = (points if points.ndim == 3 else points[None]) - c2w[:, None, :3, 3]
    if not lens.is_orthographic:
        return offset
    back = F.normalize(c2w[:, None, :3, 2], dim=-1)
    return (offset * back).sum(-1, keepdim=True) * back


def ray_lengths(lens: Lens, height: int, width: int) -> torch.Tensor:
    """[B,H,W,1]: the length of a pixel's ray where it has gone 1 along the view direction."""
    if lens.is_orthographic:
        return lens.half.new_ones(len(lens.half), height, width, 1)
    half, focal = lens.half, lens.focal(height)[:, None, None]
    x = torch.arange(width, device=half.device, dtype=half.dtype) + 0.5 - 0.5 * width
    y = torch.arange(height, device=half.device, dtype=half.dtype)[:, None] + 0.5 - 0.5 * height
    return (1 + (x / focal).square() + (y / focal).square()).sqrt()[..., None]


def _local(c2w: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Points in camera axes [B,N,3]."""
    return (points - c2w[:, None, :3, 3]) @ c2w[:, :3, :3]              # rows times R = transpose(R) times columns


def _check(lens: Lens, c2w: torch.Tensor) -> None:
    check_shape("c2w", c2w, "B", 4, 4)
    check_shape("scale" if lens.is_orthographic else "fovy", lens.half, len(c2w))
