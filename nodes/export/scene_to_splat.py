"""Scene to Splat: a scene's own Gaussians, or the surface of a volume as coloured discs, for the host's splat viewers
and tools."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.surface.mesh import face_areas
from ...kernels.surface.spread import spread_points
from ..assets.core_splat import discs, to_core
from ..comfy import SCENE, SPLAT, Node, host, host_tick, io
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from ..surface.color import surface_color
from .extract_mesh import extract_mesh

NAME = "Scene to Splat"


@dataclass(frozen=True)
class SurfacePoints:
    """On the CPU: points, unit normals, colors (display-referred) [N,3], and the spacing of neighbours, world units."""

    points: Tensor
    normals: Tensor
    colors: Tensor
    spacing: float


def surface_points(recipe: SceneRecipe, count: int = 100_000, resolution: int = 128, threshold: float = 0.0,
                   device: str | torch.device = "cpu", tick: Tick = no_tick) -> SurfacePoints:
    """`count` points spread evenly over the surface of a volume scene, with its unlit colours.

    resolution, threshold  and errors as for `extract_mesh`

    The same scene gives the same points.
    """
    mesh = extract_mesh(recipe, resolution, threshold, colors=False, device=device,
                        tick=lambda share: tick(0.7 * share)).mesh
    with torch.inference_mode(False), torch.no_grad():
        face, weights = spread_points(mesh.vertices, mesh.faces, count)
        corners = mesh.faces[face]
        points = (mesh.vertices[corners] * weights[..., None]).sum(1)
        normals = F.normalize((mesh.normals[corners] * weights[..., None]).sum(1), dim=-1)
        colors = surface_color(recipe.build(device), points, normals, tick=lambda share: tick(0.7 + 0.25 * share))
    return SurfacePoints(points, normals, colors, float(face_areas(mesh.vertices, mesh.faces).sum() / count) ** 0.5)


def scene_to_splat(recipe: SceneRecipe, count: int = 100_000, resolution: int = 128, threshold: float = 0.0,
                   size: float = 1.0, device: str | torch.device = "cpu", tick: Tick = no_tick) -> Any:
    """Core's SPLAT of a scene: its own Gaussians if it has any, otherwise discs at `surface_points`. size: standard
    deviation of a disc, in distances between neighbours. The numbers apply only to discs."""
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build()
        if scene.is_gaussian:
            return to_core(scene.field.splat(), NAME)
    found = surface_points(recipe, count, resolution, threshold, device, tick)
    return to_core(discs(found.points, found.normals, found.colors, size * found.spacing), NAME)


class SceneToSplatNode(Node):
    advanced = ("threshold", "disc_size")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SceneToSplat", display_name=NAME, category="Distill3D/export",
            description="Converts a scene to a splat for the host's viewers and tools: its own Gaussians unchanged, or "
                        "the surface of a volume as coloured discs, which look the same from everywhere.",
            search_aliases=["gaussian splat", "3dgs", "point cloud", "ply"],
            inputs=[
                SCENE.Input("scene", tooltip="A trained scene of the Splat Renderer or of a volume."),
                io.Int.Input("points", default=100_000, min=1_000, max=5_000_000, step=1_000,
                             tooltip="Number of discs; four times as many show details half as large. Gaussians are "
                                     "kept unchanged."),
                io.Int.Input("resolution", default=128, min=16, max=512, step=8,
                             tooltip="Samples of the density along the longest side of the bounds, to find the "
                                     "surface."),
                io.Float.Input("threshold", default=0.0, min=0.0, max=1e6, step=0.1,
                               tooltip="Density at the surface. 0 chooses the one whose silhouettes agree best with "
                                       "the scene's own pictures."),
                io.Float.Input("disc_size", default=1.0, min=0.1, max=5.0, step=0.05,
                               tooltip="Size of a disc, in distances between neighbours. Larger closes gaps and blurs "
                                       "colours.")],
            outputs=[SPLAT.Output("splat", tooltip="A core splat, for Create 3D File (from Splat) and Render Splat.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, scene, points=100_000, resolution=128, threshold=0.0, disc_size=1.0) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        splat = scene_to_splat(scene, points, resolution, threshold, disc_size, host().device(), tick)
        tick(1.0)
        return io.NodeOutput(splat)
