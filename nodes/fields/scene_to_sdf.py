"""Scene to SDF: converts a trained volume to a signed distance field."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...kernels.surface.distance_grid import distance_grid
from ...kernels.surface.isosurface import isosurface
from ...kernels.surface.mesh import vertex_normals
from ...kernels.surface.shell import grid_border, solid_samples
from ...kernels.surface.smooth import taubin_smooth
from ..comfy import FIELD, SCENE, Node, host, host_tick, io
from ..core.field import Surface, groups_text
from ..core.scene import SceneRecipe
from ..core.schedule import Schedule
from ..core.tick import Tick, no_tick
from ..surface.color import check_volume
from ..surface.density_grid import check_surface, choose_threshold, sample_inside
from ..surface.silhouette import drawn_silhouette, scene_views, silhouette_iou
from .feature_grid import FeatureGrid
from .hash_grid_sdf import SCHEMES, HashGridSDF, HashGridSDFModule, distance_inputs
from .inherit_color import inherit_color
from .initial_surface import InitialGrid

NAME = "Scene to SDF"
SMOOTHING = 10  # Taubin iterations that remove the steps of the grid


@dataclass(frozen=True)
class Conversion:
    """threshold: that was used, 1/length; overlap: IoU of the silhouettes of the new surface and the scene."""

    field: HashGridSDF
    threshold: float
    overlap: float

    def __str__(self) -> str:
        return f"threshold {self.threshold:.4g}, silhouettes agree {100 * self.overlap:.1f} % (IoU)"


def scene_to_sdf(recipe: SceneRecipe, template: HashGridSDF, resolution: int = 64, threshold: float = 0.0,
                 smallest: float = 0.05, color_steps: int = 300, device: str | torch.device = "cpu",
                 tick: Tick = no_tick) -> Conversion:
    """A signed distance field whose initial surface is the level density = threshold of a volume scene, in its colours.

    template     the other settings of the field; its extent and initial surface are replaced. Its `grid` is used if the
                 colours of the volume come from no hash grid
    resolution   samples of the initial distance along the longest side of the scene's bounds
    threshold    density, 1/length; 0: the one whose silhouettes agree best with the scene's renderings
    smallest     components smaller than this share of the largest one are dropped; cavities are filled
    color_steps  see `inherit_color`

    Raises DistillError if the scene is not a volume, the density is not finite, or there is no surface.
    """
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        check_volume(scene, NAME)
        box = scene.bounds.float()
        values = sample_inside(scene.field, box, resolution, NAME, lambda share: tick(0.1 * share))
        views = scene_views(scene, tick=lambda share: tick(0.1 + 0.2 * share))
        level = threshold or choose_threshold(scene.field, values, box, views, recipe, NAME)[0]
        border = grid_border(values)
        values[border] = values[border].clamp(max=0)
        check_surface(scene.field, values, level, recipe, NAME)
        surface, distance = _surface(values, level, box, smallest)
        tick(0.5)
        overlap = silhouette_iou(drawn_silhouette(surface.vertices, surface.faces, views.cameras), views.opaque)
        grid = inherit_color(scene, surface, template.grid, box, color_steps, recipe.seed,
                             lambda share: tick(0.5 + 0.5 * share))
        initial = InitialGrid(distance.cpu(), tuple(tuple(corner) for corner in box.tolist()))
        return Conversion(replace(template, radius=float(box.abs().amax()), initial=initial, grid=grid), level, overlap)


def _surface(values: Tensor, level: float, box: Tensor, smallest: float) -> tuple[Surface, Tensor]:
    """The smoothed surface of the solid part of a grid of values, and the signed distance to it at the grid's
    samples."""
    inside = solid_samples(values > level, smallest)
    filled, dropped = inside & (values <= level), ~inside & (values > level)
    values = values.masked_fill(filled, float(values.amax())).masked_fill(dropped, float(values.amin()))
    vertices, faces = isosurface(values, level, box)
    vertices = taubin_smooth(vertices, faces, SMOOTHING)
    return Surface(vertices, faces, vertex_normals(vertices, faces)), distance_grid(vertices, faces, inside, box)


class SceneToSDFNode(Node):
    advanced = ("smallest_component", "color_steps", "differences", "sharpness", "levels", "features", "log2_size",
                "base", "width", "finest")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SceneToSDF", display_name=NAME, category="Distill3D/fields",
            description="Converts a trained volume to a signed distance field with its surface and colours: from NeRF "
                        "to NeuS in DreamCraft3D.",
            search_aliases=["neus", "nerf to neus", "dreamcraft3d", "convert"],
            inputs=[
                SCENE.Input("scene", tooltip="A trained volume scene, from Optimize."),
                io.Int.Input("resolution", default=64, min=16, max=160, step=8,
                             tooltip="Samples of the initial distance along the longest side of the scene's bounds. "
                                     "Training adds finer detail."),
                io.Float.Input("threshold", default=0.0, min=0.0, max=1e6, step=0.1,
                               tooltip="Density at the surface. 0: the one whose silhouettes agree best with the "
                                       "scene's renderings."),
                io.Float.Input("smallest_component", default=0.05, min=0.0, max=1.0, step=0.01,
                               tooltip="Components smaller than this share of the largest one are dropped."),
                io.Int.Input("color_steps", default=300, min=0, max=100_000,
                             tooltip="Training steps of a new hash grid for the volume's colours, if the volume has "
                                     "none that can be copied."),
                *distance_inputs(),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a NeuS Renderer. {groups_text(HashGridSDFModule.groups)}"),
                     io.Float.Output("threshold", tooltip="The threshold that was used."),
                     io.String.Output("report", tooltip="Threshold and silhouette IoU in one line.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, scene, resolution=64, threshold=0.0, smallest_component=0.05, color_steps=300, epsilon=0.01,
                differences=SCHEMES[0], sharpness=20.0, levels=16, features=2, log2_size=19, base=16, finest=4096,
                width=64, active_levels=32.0) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        template = HashGridSDF(grid=FeatureGrid(levels, features, log2_size, base, finest, width),
                               active_levels=Schedule.of(active_levels), epsilon=Schedule.of(epsilon),
                               scheme=differences, sharpness=sharpness)
        found = scene_to_sdf(scene, template, resolution, threshold, smallest_component, color_steps, host().device(),
                             tick)
        tick(1.0)
        return io.NodeOutput(found.field, found.threshold, str(found))
