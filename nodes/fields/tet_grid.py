"""Tet Grid: the zero level of a signed distance on a tetrahedral lattice (Shen et al. 2021, DMTet)."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Protocol

import torch
from torch import Tensor, nn

from ...kernels.surface.marching_tets import marching_tets
from ...kernels.surface.mesh import vertex_normals
from ...kernels.surface.subdivide import subdivide, surface_tets
from ...kernels.surface.tet_grid import on_box, shortest_edges, tet_grid
from ..comfy import FIELD, Node, io, scheduled
from ..core.errors import DistillError
from ..core.field import Replacement, Surface, SurfaceField, groups_text
from ..core.rng import Streams
from ..core.scene import gather_groups
from ..core.schedule import Schedule
from .feature_grid import FeatureGrid, check_sizes, grid_inputs
from .initial_surface import InitialEllipsoid, ellipsoid_inputs
from .tet_shape import NetworkShape, VertexShape

TITLE = "Tet Grid"
SHAPES = {"vertices": VertexShape, "network": NetworkShape}
# Rings of tetrahedra around the surface that are subdivided too, so that the surface can move within fine ones.
RINGS = 1
MARGIN = 0.005  # shortest edges
MOST_SUBDIVISIONS = 4


class InitialSurface(Protocol):
    def sdf(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class TetGrid:
    """Recipe of a signed distance on an A15 lattice in a box, whose zero level is the surface, and features on it.

    box           lowest and highest corner, world units
    resolution    lattice units along the longest side; edges are 2 to 2.45 units long, as in the published grids. Odd
                  numbers are rounded up to even ones
    initial       initial surface
    values        "vertices": a distance and a deformation of each vertex are the parameters; "network": a hash grid
                  with a small network outputs both, and the initial distance is added
    subdivisions  number of subdivisions of the tetrahedra at the surface (into eight), as a schedule. Never falls
    reach         largest deformation of a vertex along each axis, in lengths of its shortest edge; published 0.5
    """

    box: tuple[tuple[float, float, float], tuple[float, float, float]] = ((-1.15,) * 3, (1.15,) * 3)
    resolution: int = 64
    initial: InitialSurface = InitialEllipsoid()
    values: str = "vertices"
    subdivisions: Schedule = Schedule.of(0)
    reach: float = 0.5
    features: FeatureGrid = field(default_factory=FeatureGrid)

    def __post_init__(self):
        if self.values not in SHAPES:
            raise DistillError(f'{TITLE}: values "{self.values}" are unknown. Use one of {", ".join(SHAPES)}.')
        if not all(low < high for low, high in zip(*self.box)):
            raise DistillError(f"{TITLE}: the box {self.box} is empty.")
        check_sizes(TITLE, self.features.base, self.features.finest)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Lattice units along x, y and z: even numbers, with units as close to cubes as possible."""
        unit = self.side / (2 * -(-self.resolution // 2))
        return tuple(max(4, 2 * round((high - low) / unit / 2)) for low, high in zip(*self.box))

    @property
    def side(self) -> float:
        """The longest side of the box, world units."""
        return max(high - low for low, high in zip(*self.box))

    @property
    def edge(self) -> float:
        """The shortest edge of the lattice, world units."""
        return self.side / -(-self.resolution // 2)

    def world(self, units: Tensor) -> Tensor:
        """World points of lattice points, [N,3]."""
        low, high = torch.tensor(self.box, device=units.device)
        return low + units * ((high - low) / torch.tensor(self.counts, device=units.device))

    def build(self, channels: int) -> "TetGridModule":
        return TetGridModule(self, channels)


class TetGridModule(SurfaceField):
    """See TetGrid. A SurfaceField that is always closed: vertices on the box do not move and count as outside.

    The state holds which tetrahedra were subdivided; the lattice is rebuilt from that.
    """

    groups = ("sdf", "deformation", "encoding", "network")

    def __init__(self, recipe: TetGrid, channels: int):
        super().__init__()
        if recipe.subdivisions.largest() > MOST_SUBDIVISIONS:
            raise DistillError(f"Tet Grid: the schedule of subdivisions reaches {recipe.subdivisions.largest():g}. "
                               f"Each makes the lattice up to eight times as large; at most {MOST_SUBDIVISIONS} are "
                               "made.")
        self.recipe, self.level = recipe, 0
        self.register_buffer("bounds", torch.tensor(recipe.box), persistent=False)
        units, tets = tet_grid(recipe.counts)
        self._take(units, tets)
        self.shape = SHAPES[recipe.values](recipe.initial.sdf(self.grid), recipe.edge, self._reach(), self.bounds,
                                           recipe.features)
        self.colors = recipe.features.build(channels, self.bounds)

    def surface(self) -> Surface:
        sdf, vertices = self._values()
        vertices, faces = marching_tets(vertices, sdf, self.tets)
        return Surface(vertices, faces, vertex_normals(vertices, faces))

    def features(self, position: Tensor, uv: Tensor | None = None, footprint: Tensor | None = None) -> Tensor:
        return self.colors(position)

    def update(self, step: int, total: int, streams: Streams) -> list[Replacement]:
        """Subdivides by the schedule. This does not move the surface."""
        wanted = int(self.recipe.subdivisions.at(step, total) + 1e-6)
        replaced: list[Replacement] = []
        while self.level < wanted:
            with torch.no_grad():
                replaced += self._subdivide(surface_tets(self._values()[0] < 0, self.tets, RINGS))
        return replaced

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return gather_groups(self.shape, self.colors)

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        """Repeats the subdivisions of a saved state."""
        while (marked := state.get(f"marked_{self.level}")) is not None and len(marked) == len(self.tets):
            with torch.no_grad():
                self._subdivide(marked.to(self.tets.device))

    def _values(self) -> tuple[Tensor, Tensor]:
        """sdf [V], in shortest edges, and world positions [V,3] of the lattice's vertices."""
        sdf, offset = self.shape(self.grid)
        # The surface stays within the box, so it is closed.
        return (torch.where(self.border, sdf.clamp(min=MARGIN), sdf),
                self.grid + torch.where(self.border[:, None], 0.0, offset))

    def _subdivide(self, marked: Tensor) -> list[Replacement]:
        edges, tets = subdivide(self.units, self.tets, marked)
        self._take(torch.cat([self.units, self.units[edges].mean(1)]), tets)
        self.register_buffer(f"marked_{self.level}", marked)
        self.level += 1
        return self.shape.refine(edges, self._reach())

    def _take(self, units: Tensor, tets: Tensor) -> None:
        for name, values in (("units", units), ("tets", tets), ("grid", self.recipe.world(units)),
                             ("border", on_box(units, self.recipe.counts))):
            self.register_buffer(name, values, persistent=False)

    def _reach(self) -> Tensor:
        return self.recipe.reach * shortest_edges(self.grid, self.tets)


class TetGridNode(Node):
    advanced = ("values", "reach", "levels", "features", "log2_size", "base", "width", "finest")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TetGrid", display_name=TITLE, category="Distill3D/fields",
            description="The zero level of a signed distance on a tetrahedral lattice, as triangles (DMTet).",
            search_aliases=["dmtet", "marching tetrahedra", "mesh field", "fantasia3d", "magic3d"],
            inputs=[
                io.Float.Input("radius", default=1.15, min=0.05, max=100.0, step=0.05,
                               tooltip="Half the side of the cube that bounds the surface, in world units."),
                io.Int.Input("resolution", default=64, min=8, max=256, step=2,
                             tooltip="Lattice units along a side; edges are 2 to 2.45 units long. Published: 128 for "
                                     "refinement; 64 is about four times as fast."),
                *ellipsoid_inputs(),
                io.Combo.Input("values", options=list(SHAPES), default="vertices",
                               tooltip="What is trained: a distance and a deformation of each vertex, or a hash grid "
                                       "with a small network, which is smoother (Fantasia3D)."),
                scheduled("subdivisions", 0.0, "Number of subdivisions of the tetrahedra at the surface, rounded "
                          'down. Use a Schedule such as "0: 0, 0.5: 1", in steps.', min=0.0,
                          max=float(MOST_SUBDIVISIONS), step=1.0),
                io.Float.Input("reach", default=0.5, min=0.0, max=1.0, step=0.05,
                               tooltip="Largest deformation of a vertex along each axis, in lengths of its shortest "
                                       "edge. Published: 0.5; 0: none."),
                *grid_inputs(),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a Mesh Rasterizer. {groups_text(TetGridModule.groups)}")])

    @classmethod
    def execute(cls, radius=1.15, resolution=64, radius_x=0.5, radius_y=0.5, radius_z=0.5, values="vertices",
                subdivisions=0.0, reach=0.5, levels=16, features=2, log2_size=19, base=16, finest=4096,
                width=64) -> io.NodeOutput:
        grid = FeatureGrid(levels, features, log2_size, base, finest, width)
        return io.NodeOutput(TetGrid(((-radius,) * 3, (radius,) * 3), resolution,
                                     InitialEllipsoid((radius_x, radius_y, radius_z)), values,
                                     Schedule.of(subdivisions), reach, grid))
