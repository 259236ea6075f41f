"""Initial Gaussians: from a splat on a wire or in a file, or from the surface of a trained scene."""
from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.surface.isosurface import isosurface
from ...kernels.surface.mesh import vertex_normals
from ...kernels.surface.shell import fill_interior
from ...kernels.surface.spread import spread_points
from ..assets.splat import Splat
from ..assets.splat_file import read_ply
from ..assets.splat_wire import read_core_splat
from ..comfy import host
from ..core.field import Surface
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from ..surface.color import check_volume, surface_color
from ..surface.density_grid import check_surface, choose_threshold, sample_inside
from ..surface.silhouette import scene_views

RESOLUTION = 64  # samples along the longest side of a volume's bounds


def read_splat(value: Any, node: str) -> Splat:
    """The Gaussians of a core SPLAT or of a 3D file: PLY, and the formats that the host reads. Raises DistillError."""
    if not hasattr(value, "get_bytes"):
        return read_core_splat(value, node)
    if str(value.format or "ply").lower() != "ply":
        read = host().read_splat_file(value, node)
        return read_core_splat(read, node)
    return read_ply(value.get_bytes(), node)


def surface_points(recipe: SceneRecipe, count: int, node: str, device: str | torch.device = "cpu",
                   tick: Tick = no_tick) -> tuple[Tensor, Tensor]:
    """`count` points spread evenly over the surface of a trained scene, and their unlit colours, [N,3] each, on the
    CPU. The surface is the triangles of the scene, or the level of a volume whose silhouettes agree best with its
    renderings.

    Raises DistillError, beginning with `node`, if there is no surface.
    """
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        if scene.is_surface:
            surface = scene.field.surface()
        else:
            check_volume(scene, node)
            surface = _volume_surface(scene, recipe, node, lambda share: tick(0.6 * share))
        face, weights = spread_points(surface.vertices, surface.faces, count)

        def at(values: Tensor, faces: Tensor) -> Tensor:
            return (values[faces[face]] * weights[..., None]).sum(1)

        points, normals = at(surface.vertices, surface.faces), F.normalize(at(surface.normals, surface.faces), dim=1)
        if scene.is_surface:
            uv = None if surface.uv is None else at(surface.uv, surface.faces_uv)
            colors = scene.material(scene.field.features(points, uv), normals, points, None, "albedo")[1].clamp(0, 1)
        else:
            colors = surface_color(scene, points, normals, tick=lambda share: tick(0.6 + 0.3 * share))
        return points.cpu(), colors.cpu()


def _volume_surface(scene: nn.Module, recipe: SceneRecipe, node: str, tick: Tick) -> Surface:
    bounds = scene.bounds.float()
    values = sample_inside(scene.field, bounds, RESOLUTION, node, lambda share: tick(0.5 * share))
    views = scene_views(scene, tick=lambda share: tick(0.5 + 0.5 * share))
    level, _ = choose_threshold(scene.field, values, bounds, views, recipe, node)
    check_surface(scene.field, values, level, recipe, node)
    vertices, faces = isosurface(fill_interior(values, level), level, bounds)
    return Surface(vertices, faces, vertex_normals(vertices, faces))
