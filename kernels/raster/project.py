"""From the world to clip space."""
from __future__ import annotations

import torch

from ..checks import check_shape


def perspective(fovy: torch.Tensor, aspect: float, near: float = 0.01, far: float = 100.0) -> torch.Tensor:
    """OpenGL projection matrices.

    fovy       [B] vertical field of view, radians, in (0, pi)
    aspect     width / height
    near, far  distances of the clip planes along the view direction, 0 < near < far

    Returns [B,4,4] from camera space (x right, y up, looks down -z) to clip space: w is the distance along the
    view direction, z/w runs from -1 at near to 1 at far. Differentiable in fovy.
    """
    check_shape("fovy", fovy, "B")
    if not 0 < near < far:
        raise ValueError(f"perspective: near is {near} and far is {far}; they must satisfy 0 < near < far.")
    focal = 1 / torch.tan(fovy / 2)
    zero, one = torch.zeros_like(fovy), torch.ones_like(fovy)
    rows = [focal / aspect, zero, zero, zero,
            zero, focal, zero, zero,
            zero, zero, -one * ((far + near) / (far - near)), -one * (2 * far * near / (far - near)),
            zero, zero, -one, zero]
    return torch.stack(rows, -1).view(-1, 4, 4)


def to_clip(vertices: torch.Tensor, c2w: torch.Tensor, fovy: torch.Tensor, height: int, width: int,
            near: float = 0.01, far: float = 100.0) -> torch.Tensor:
    """Clip-space positions of world vertices seen by B cameras with square pixels.

    vertices       [V,3] world
    c2w            [B,4,4] camera to world, a rotation and a translation; OpenGL axes
    fovy           [B] radians
    height, width  of the picture, pixels

    Returns [B,V,4] for `rasterize`: the ray through a pixel's centre, camera direction
    ((x - W/2)/f, -(y - H/2)/f, -1) with f = H / (2 tan(fovy/2)), meets what that pixel shows.
    Differentiable in vertices, c2w and fovy. Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("c2w", c2w, "B", 4, 4)
    check_shape("fovy", fovy, len(c2w))
    camera = (vertices - c2w[:, None, :3, 3]) @ c2w[:, :3, :3]       # rows times R = transpose(R) times columns
    projection = perspective(fovy, width / height, near, far)
    return camera @ projection[:, :, :3].mT + projection[:, None, :, 3]
