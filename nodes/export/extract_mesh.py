"""Extract Mesh: the surface of a scene as triangles; watertight for a volume."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.surface.components import component_labels, keep_largest
from ...kernels.surface.isosurface import isosurface
from ...kernels.surface.mesh import is_watertight
from ...kernels.surface.shell import fill_interior
from ...kernels.surface.smooth import taubin_smooth
from ..assets.core_mesh import to_core
from ..assets.mesh import Mesh, smooth_normals, weld
from ..comfy import SCENE, Node, host, host_tick, io
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from ..surface.color import check_volume, surface_color
from ..surface.density_grid import check_surface, choose_threshold, sample_inside
from ..surface.silhouette import SceneViews, scene_views, silhouette_iou
from .render_mesh import render_mesh
from .surface_scene import surface_mesh

NAME = "Extract Mesh"
PREVIEW_ZOOM = 3
LOST_SHARE = 0.05


@dataclass(frozen=True)
class Extraction:
    """mesh on the CPU; threshold used, 1/length, 0 for a scene of triangles; overlap: IoU of its silhouettes with the
    scene's; found, kept: number of components before and after small ones were dropped; comparison [8,H,W,3]: scene,
    mesh, difference side by side; source: a description of the surface that was used
    """

    mesh: Mesh
    threshold: float
    overlap: float
    found: int
    kept: int
    comparison: Tensor
    source: str

    def __str__(self) -> str:
        closed = "watertight" if is_watertight(weld(self.mesh.vertices, self.mesh.faces)[1]) else "not watertight"
        return (f"{self.source}, silhouettes agree {100 * self.overlap:.1f} % (IoU), kept {self.kept} "
                f"of {self.found} components, {len(self.mesh.faces)} faces, {closed}")


def extract_mesh(recipe: SceneRecipe, resolution: int = 128, threshold: float = 0.0, smallest: float = 0.05,
                 smoothing: int = 10, colors: bool = True, device: str | torch.device = "cpu",
                 tick: Tick = no_tick) -> Extraction:
    """The surface of a scene: density = threshold for a volume, distance = 0 for a signed distance, the triangles
    themselves for a scene of the Mesh Rasterizer.

    resolution  samples along the longest side of a volume's bounds; memory about 40 bytes * resolution^3
    threshold   density, 1/length; 0 chooses the one whose silhouettes agree best with the scene's own pictures. For a
                signed distance: world units inside the zero level
    smallest    components with less than this share of the largest one's area are dropped
    smoothing   Taubin iterations against the steps of a volume's grid; volume and watertightness are kept
    colors      fill vertex_colors with the scene's colours at the vertices

    Cavities of a volume are filled. Triangles keep their texture coordinates and are not smoothed.
    Raises DistillError when the scene is neither, something is not finite, or there is no surface.
    """
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        if scene.is_surface:
            mesh, found, kept = surface_mesh(scene, NAME, smallest, colors)
            views = scene_views(scene, tick=lambda share: tick(0.2 + 0.6 * share))
            threshold, promised = 0.0, 1.0 if kept < found else None
            source = "the scene's own triangles"
        else:
            check_volume(scene, NAME)
            bounds = scene.bounds.float()
            values = sample_inside(scene.field, bounds, resolution, NAME, lambda share: tick(0.4 * share))
            views = scene_views(scene, tick=lambda share: tick(0.4 + 0.3 * share))
            promised = None
            if threshold == 0:
                threshold, promised = choose_threshold(scene.field, values, bounds, views, recipe, NAME)
            check_surface(scene.field, values, threshold, recipe, NAME)
            source = ("the signed distance's zero" if scene.has_distance
                      and not threshold else f"threshold {threshold:.4g}")
            tick(0.7)
            mesh, found, kept = _volume_mesh(values, bounds, threshold, smallest, smoothing)
            if colors:
                mesh = replace(mesh, vertex_colors=surface_color(scene, mesh.vertices, mesh.normals,
                                                                 tick=lambda share: tick(0.75 + 0.15 * share)))
        tick(0.9)
        rgb, opacity = render_mesh(mesh, views.cameras, supersample=1)
        drawn = opacity[..., 0] > 0.5
        overlap = silhouette_iou(drawn, views.opaque)
        if promised is not None and overlap < promised - LOST_SHARE:
            host().warn(f"{NAME}: the mesh covers less of the scene's silhouettes (IoU {overlap:.2f}) than the surface "
                        f"before small components were dropped ({promised:.2f}). Lower smallest_component.")
        return Extraction(mesh.to("cpu"), threshold, overlap, found, kept, _comparison(views, rgb, drawn).cpu(), source)


def _volume_mesh(values: Tensor, bounds: Tensor, threshold: float, smallest: float,
                 smoothing: int) -> tuple[Mesh, int, int]:
    """The mesh, and the number of components before and after small ones were dropped."""
    vertices, faces = isosurface(fill_interior(values, threshold), threshold, bounds)
    found = int(component_labels(faces, len(vertices)).max()) + 1
    vertices, faces = keep_largest(vertices, faces, smallest)
    kept = int(component_labels(faces, len(vertices)).max()) + 1
    vertices = taubin_smooth(vertices, faces, smoothing)
    return Mesh(vertices, faces, normals=smooth_normals(vertices, faces)), found, kept


def _comparison(views: SceneViews, rgb: Tensor, drawn: Tensor) -> Tensor:
    """Scene, mesh and silhouettes (white both, red only the scene, blue only the mesh), side by side."""
    difference = torch.stack([views.opaque, views.opaque & drawn, drawn], -1).to(rgb.dtype)
    row = torch.cat([views.rgb, rgb, difference], 2).clamp(0, 1)
    return F.interpolate(row.movedim(-1, 1), scale_factor=PREVIEW_ZOOM, mode="nearest").movedim(1, -1)


class ExtractMeshNode(Node):
    advanced = ("smallest_component", "smoothing", "vertex_colors")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ExtractMesh", display_name=NAME, category="Distill3D/export",
            description="The surface of a scene as a triangle mesh, watertight for a volume. "
                        "Goes to Unwrap UV and Bake Texture, or directly to Save Mesh with vertex colours.",
            search_aliases=["marching cubes", "isosurface", "nerf to mesh"],
            inputs=[
                SCENE.Input("scene", tooltip="A trained scene of the Volume Renderer, the NeuS Renderer, the Mesh "
                            "Rasterizer or the Splat Renderer."),
                io.Int.Input("resolution", default=128, min=16, max=512, step=8,
                             tooltip="Samples of a volume's density along the longest side of its bounds. Triangles "
                                     "are kept unchanged."),
                io.Float.Input("threshold", default=0.0, min=0.0, max=1e6, step=0.1,
                               tooltip="Density at a volume's surface. 0 chooses the one whose silhouettes agree best "
                                       "with the scene's own pictures."),
                io.Float.Input("smallest_component", default=0.05, min=0.0, max=1.0, step=0.01,
                               tooltip="Components with a smaller share of the largest one's area are dropped."),
                io.Int.Input("smoothing", default=10, min=0, max=100,
                             tooltip="Taubin smoothing steps for the surface of a volume's grid. They keep the "
                                     "volume."),
                io.Boolean.Input("vertex_colors", default=True,
                                 tooltip="Store the scene's colours at the vertices.")],
            outputs=[io.Mesh.Output("mesh", tooltip="The surface, a core mesh, Y up."),
                     io.Float.Output("threshold", tooltip="The threshold that was used; 0 for triangles."),
                     io.Image.Output("comparison", tooltip="Eight views: the scene, the mesh, and where their "
                                                           "silhouettes differ (red: only scene, blue: only mesh)."),
                     io.String.Output("report", tooltip="Agreement, components, faces and closedness in one line.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, scene, resolution=128, threshold=0.0, smallest_component=0.05, smoothing=10,
                vertex_colors=True) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        found = extract_mesh(scene, resolution, threshold, smallest_component, smoothing, vertex_colors,
                             host().device(), tick)
        tick(1.0)
        return io.NodeOutput(to_core(found.mesh), found.threshold, found.comparison, str(found))
