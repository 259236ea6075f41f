"""Scene to Tet Grid: converts a trained volume to a tet grid (DMTet)."""
from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...kernels.surface.components import keep_largest
from ...kernels.surface.isosurface import isosurface
from ...kernels.surface.marching_tets import marching_tets, surface_distance
from ...kernels.surface.mesh import vertex_normals
from ...kernels.surface.shell import fill_interior, solid
from ...kernels.surface.tet_grid import LONGEST, on_box, tet_edges, tet_grid
from ..comfy import FIELD, SCENE, Node, host, host_tick, io, scheduled
from ..core.field import Field, Surface, groups_text
from ..core.scene import SceneRecipe
from ..core.schedule import Schedule
from ..core.tick import Tick, no_tick
from ..surface.color import POINTS_AT_ONCE, check_volume
from ..surface.density_grid import check_finite, check_surface, choose_threshold, inside_value, sample_inside
from ..surface.silhouette import drawn_silhouette, scene_views, silhouette_iou
from .feature_grid import FeatureGrid, grid_inputs
from .inherit_color import inherit_color
from .initial_surface import InitialValues
from .tet_grid import SHAPES, TetGrid, TetGridModule

NAME = "Scene to Tet Grid"
PADDING = 0.1  # of the longest side of the surface's bounding box, on each side, as published
# Multiples of the threshold that are tried too: the lattice is coarser than the density grid.
FACTORS = (1.0, 0.5, 0.25, 2.0)
LOST_SHARE = 0.15  # of the silhouettes, above which the user is warned


@dataclass(frozen=True)
class Conversion:
    """threshold: that was used, 1/length; overlap: IoU of the silhouettes of the new surface and the scene; faces:
    number."""

    field: TetGrid
    threshold: float
    overlap: float
    faces: int

    def __str__(self) -> str:
        return (f"threshold {self.threshold:.4g}, silhouettes agree {100 * self.overlap:.1f} % (IoU), {self.faces} "
                f"faces, box {' x '.join(f'{high - low:.3g}' for low, high in zip(*self.field.box))}")


def scene_to_tet_grid(recipe: SceneRecipe, template: TetGrid, threshold: float = 0.0, smallest: float = 0.05,
                      color_steps: int = 300, device: str | torch.device = "cpu", tick: Tick = no_tick) -> Conversion:
    """A tet grid whose initial surface is the level density = threshold of a volume scene, or a level of its signed
    distance, in its colours.

    template     the other settings of the tet grid; its box and initial surface are replaced. Its `features` are used
                 if the colours of the volume come from no hash grid
    threshold    density, 1/length; 0: the one whose silhouettes agree best with the scene's renderings. It is searched
                 in the scene's bounds, then in the box around the surface, and last among FACTORS of the result. Of a
                 signed distance: how far inside the zero level the surface is taken, world units
    smallest     components smaller than this share of the largest one are dropped; cavities are filled
    color_steps  see `inherit_color`

    Raises DistillError if the scene is not a volume, the density is not finite, or there is no surface.
    """
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        check_volume(scene, NAME)
        views = scene_views(scene, tick=lambda share: tick(0.2 * share))
        box, level = scene.bounds.float(), threshold
        for _ in range(2):
            values = sample_inside(scene.field, box, template.resolution, NAME)
            if threshold == 0:
                level, _ = choose_threshold(scene.field, values, box, views, recipe, NAME)
            check_surface(scene.field, values, level, recipe, NAME)
            sampled, box = box, _around(values, level, box, smallest)
        grid = replace(template, box=tuple(tuple(corner) for corner in sampled.tolist()))
        tick(0.4)
        tried = FACTORS if level and not threshold else (1.0,)
        found = _surfaces(scene.field, grid, [level * factor for factor in tried], recipe, smallest)
        overlaps = [silhouette_iou(drawn_silhouette(surface.vertices, surface.faces, views.cameras), views.opaque)
                    for _, _, surface in found]
        overlap = max(overlaps)
        level, sdf, surface = found[overlaps.index(overlap)]
        if overlap < 1 - LOST_SHARE:
            host().warn(f"{NAME}: the silhouettes of the surface and of the scene's renderings overlap by only "
                        f"{100 * overlap:.0f} % (IoU). Raise resolution, lower smallest_component, or train the volume "
                        "longer: fog has no surface.")
        features = inherit_color(scene, surface, grid.features, sampled, color_steps, recipe.seed,
                                 lambda share: tick(0.5 + 0.5 * share))
        return Conversion(replace(grid, initial=InitialValues(sdf.cpu()), features=features), level, overlap,
                          len(surface.faces))


def _around(values: Tensor, level: float, box: Tensor, smallest: float) -> Tensor:
    """The box [2,3] around the surface in a grid of densities on `box`: with PADDING, clipped to `box`."""
    vertices, faces = isosurface(fill_interior(values, level), level, box)
    vertices, _ = keep_largest(vertices, faces, smallest)
    low, high = vertices.amin(0), vertices.amax(0)
    padding = PADDING * float((high - low).amax())
    return torch.stack([(low - padding).maximum(box[0]), (high + padding).minimum(box[1])])


def _surfaces(field: Field, grid: TetGrid, levels: list[float], recipe: SceneRecipe,
              smallest: float) -> list[tuple[float, Tensor, Surface]]:
    """Each level that has a surface, with the signed distances [V] at the lattice's vertices and their surface."""
    units, tets = tet_grid(grid.counts, field.bounds.device)
    x, border = grid.world(units), on_box(units, grid.counts)
    values = _inside_values(field, x)
    check_finite(values, NAME)
    values[border] = values[border].clamp(max=0)
    check_surface(field, values, levels[0], recipe, NAME)
    edges, found = tet_edges(tets, len(x)), []
    for level in levels:
        inside = solid(values > level, edges, border, smallest)
        if field.has_distance:
            sdf = (values - level).abs() * torch.where(inside, -1.0, 1.0)
        else:
            sdf = surface_distance(x, tets, inside, lambda points: _inside_values(field, points) > level,
                                   LONGEST * grid.side / max(grid.counts))
        vertices, faces = marching_tets(x, sdf, tets)
        if len(faces):
            found.append((level, sdf, Surface(vertices, faces, vertex_normals(vertices, faces))))
    return found


def _inside_values(field: Field, x: Tensor) -> Tensor:
    return torch.cat([inside_value(field, part).float() for part in x.split(POINTS_AT_ONCE)])


class SceneToTetGridNode(Node):
    advanced = ("smallest_component", "values", "reach", "color_steps", "levels", "features", "log2_size", "base",
                "width", "finest")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SceneToTetGrid", display_name=NAME, category="Distill3D/fields",
            description="Converts a trained volume to a tet grid with its surface and colours: from the coarse to the "
                        "fine stage of Magic3D.",
            search_aliases=["dmtet", "magic3d refine", "nerf to mesh", "convert"],
            inputs=[
                SCENE.Input("scene", tooltip="A trained volume scene, from Optimize."),
                io.Int.Input("resolution", default=128, min=8, max=256, step=2,
                             tooltip="Lattice units along the longest side of the box around the object; edges are 2 "
                                     "to 2.45 units long. Published: 128."),
                io.Float.Input("threshold", default=0.0, min=0.0, max=1e6, step=0.1,
                               tooltip="Density at the surface. 0: the one whose silhouettes agree best with the "
                                       "scene's renderings."),
                io.Float.Input("smallest_component", default=0.05, min=0.0, max=1.0, step=0.01,
                               tooltip="Components smaller than this share of the largest one are dropped."),
                io.Combo.Input("values", options=list(SHAPES), default="vertices",
                               tooltip="What is trained: a distance and a deformation at each vertex, or a network "
                                       "that is added to the initial distance."),
                scheduled("subdivisions", 0.0, "Number of subdivisions of the tetrahedra at the surface, rounded "
                          'down. Use a Schedule such as "0: 0, 2000: 1".', min=0.0, max=4.0, step=1.0),
                io.Float.Input("reach", default=0.5, min=0.0, max=1.0, step=0.05,
                               tooltip="Largest deformation of a vertex along each axis, in lengths of its shortest "
                                       "edge. Published: 0.5; 0: none."),
                io.Int.Input("color_steps", default=300, min=0, max=100_000,
                             tooltip="Training steps of a new hash grid for the volume's colours, if the volume has "
                                     "none that can be copied."),
                *grid_inputs(),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a Mesh Rasterizer. {groups_text(TetGridModule.groups)}"),
                     io.Float.Output("threshold", tooltip="The threshold that was used."),
                     io.String.Output("report", tooltip="Threshold, silhouette IoU, faces and box in one line.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, scene, resolution=128, threshold=0.0, smallest_component=0.05, values="vertices", subdivisions=0.0,
                reach=0.5, color_steps=300, levels=16, features=2, log2_size=19, base=16, finest=4096,
                width=64) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        template = TetGrid(resolution=resolution, values=values, subdivisions=Schedule.of(subdivisions), reach=reach,
                           features=FeatureGrid(levels, features, log2_size, base, finest, width))
        found = scene_to_tet_grid(scene, template, threshold, smallest_component, color_steps, host().device(), tick)
        tick(1.0)
        return io.NodeOutput(found.field, found.threshold, str(found))
