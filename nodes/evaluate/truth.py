"""The exact shape of a caption: its pictures, and points on its surface."""
from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.shapes.render import render_shapes
from ...kernels.shapes.sdf import BOUNDING_RADIUS, HALF_HEIGHT, HALF_WIDTH, Parts, shape_sdf
from ...kernels.surface.isosurface import isosurface
from ...kernels.surface.mesh import face_areas
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.rendering import Rendering
from ..core.rng import stream
from ..shapes.caption import Shape, shape_parts
from .chamfer import sample_mesh

TOUCHING = 1e-3  # world length: a point this near to another part lies in the seam between them, not on the outside
GRID = 48  # samples per axis of the mesh that points are drawn from before they are moved onto the surface


class Surface(NamedTuple):
    """points [N,3] world, uniform on the outer surface; diagonal: length of the bounding box's diagonal."""

    points: Tensor
    diagonal: float


def true_rendering(shape: Shape, cameras: Cameras, supersample: int = 3) -> Rendering:
    """The rendering of a perfect result: albedo, opacity, depth, normal as in Rendering, rgb = albedo over white.

    supersample  rays per pixel along each axis

    Images on the CPU. Raises DistillError for cameras that are not square.
    """
    if cameras.height != cameras.width:
        raise DistillError(f"True renders are square, the cameras have {cameras.height} x {cameras.width} pixels. "
                           "Use the same height and width.")
    cameras = cameras.to("cpu")
    images = render_shapes(shape_parts([shape] * len(cameras)), cameras.c2w, cameras.fovy, cameras.height,
                           supersample, background=0.0)
    opacity = images["alpha"]
    return Rendering(rgb=images["rgb"] + (1 - opacity), opacity=opacity, depth=images["depth"] * opacity,
                     normal=images["normal"] * opacity, albedo=images["rgb"])


def true_surface(shape: Shape, count: int = 50_000) -> Surface:
    """About `count` points, at most, on the outside of a shape; the same points every time.

    Each part is sampled separately, and points in or at another part are dropped, because the distance to the outside
    is not known inside a union. Off the surface by less than 1e-4.
    """
    parts = _unbatched(shape_parts([shape]))
    alone = [_one_part(parts, index) for index in range(len(shape.parts))]
    meshes = [_part_mesh(part) for part in alone]
    areas = [float(face_areas(*mesh).sum()) for mesh in meshes]
    generator = stream(0, 0, "true surface")
    found = []
    for index, (part, mesh, area) in enumerate(zip(alone, meshes, areas)):
        # More than requested, because points in the seam are dropped: at most a third, for a cube on a cube.
        points = _project(part, sample_mesh(*mesh, round(1.6 * count * area / sum(areas)), generator))
        for other in alone[:index] + alone[index + 1:]:
            points = points[shape_sdf(other, points) > TOUCHING]
        found.append(points)
    points = torch.cat(found)
    points = points[torch.randperm(len(points), generator=generator)[:count]]
    return Surface(points, bounding_diagonal(shape))


def bounding_diagonal(shape: Shape) -> float:
    """Length of the diagonal of a shape's axis-aligned bounding box, world units."""
    parts = _unbatched(shape_parts([shape]))
    half = torch.tensor([[HALF_WIDTH[part.primitive], HALF_WIDTH[part.primitive], HALF_HEIGHT[part.primitive]]
                         for part in shape.parts])
    half = (parts.rotation.abs() @ half[..., None]).squeeze(-1) * parts.scale[:, None]
    return float(((parts.center + half).amax(0) - (parts.center - half).amin(0)).norm())


def _unbatched(parts: Parts) -> Parts:
    return Parts(*(value[0] for value in parts))


def _one_part(parts: Parts, index: int) -> Parts:
    return Parts(*(value[index:index + 1] for value in parts))


def _part_mesh(part: Parts) -> tuple[Tensor, Tensor]:
    """A mesh near the surface of one part: vertices [V,3], faces [F,3]."""
    radius = 1.05 * max(BOUNDING_RADIUS.values()) * part.scale
    bounds = torch.cat([part.center - radius, part.center + radius])
    axes = [torch.linspace(float(low), float(high), GRID) for low, high in bounds.T]
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return isosurface(-shape_sdf(part, points.view(-1, 3)).view(points.shape[:3]), 0.0, bounds)


def _project(part: Parts, points: Tensor) -> Tensor:
    """points [N,3] moved along the gradient of the exact distance onto the surface of one part."""
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(3):
            points = points.detach().clone().requires_grad_(True)
            distance = shape_sdf(part, points)
            direction = F.normalize(torch.autograd.grad(distance.sum(), points)[0], dim=-1)
            points = points - distance[:, None] * direction
    return points.detach()
