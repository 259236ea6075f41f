"""Hash Grid SDF: a signed distance from a hash grid and a small network, for the NeuS Renderer."""
from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Protocol, Sequence

import torch
from torch import Tensor, nn

from ...kernels.volume.neus import opaque_density
from ...kernels.volume.normals import finite_difference_gradient
from ..comfy import FIELD, Node, io, scheduled
from ..core.errors import DistillError
from ..core.field import FieldOutput, Replacement, SignedDistanceField, groups_text
from ..core.host_buffers import HostBuffers
from ..core.rng import Streams
from ..core.schedule import Schedule
from .feature_grid import FeatureGrid, check_sizes, grid_inputs
from .initial import cube, radius_input
from .initial_surface import InitialEllipsoid, ellipsoid_inputs

TITLE = "Hash Grid SDF"
SCHEMES = ("central", "forward")
_SHARPEST = 1e6


class InitialDistance(Protocol):
    def sdf(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class HashGridSDF:
    """Recipe of a signed distance: that of an initial surface plus the output of a hash grid with a network.

    radius         the field fills [-radius, radius]^3
    grid           the hash grid; its network also outputs the material's features
    active_levels  see HashGridVolume
    epsilon        step of the finite differences of normals, world units. Never grows during a run.
                   threestudio: 0.01; Li et al. 2023 (Neuralangelo) shrink it with the cells of the finest active level
    scheme         "central": six more evaluations, exact on spheres; "forward": three more, normals off by about
                   epsilon / (2 radius of curvature)
    sharpness      initial s, 1/length; published exp(3) = 20
    """

    radius: float = 1.15
    initial: InitialDistance = InitialEllipsoid()
    grid: FeatureGrid = field(default_factory=FeatureGrid)
    active_levels: Schedule = Schedule.of(32)
    epsilon: Schedule = Schedule.of(0.01)
    scheme: str = SCHEMES[0]
    sharpness: float = 20.0

    def __post_init__(self):
        check_sizes(TITLE, self.grid.base, self.grid.finest)
        if self.scheme not in SCHEMES:
            raise DistillError(f'{TITLE}: differences "{self.scheme}" are unknown. Use one of {", ".join(SCHEMES)}.')
        if not (min(value for _, value in self.epsilon.keyframes) > 0 and self.sharpness > 0):
            raise DistillError(f"{TITLE}: epsilon and sharpness must be positive.")

    def build(self, channels: int) -> "HashGridSDFModule":
        return HashGridSDFModule(self, channels)


class HashGridSDFModule(HostBuffers, SignedDistanceField):
    """See HashGridSDF. A SignedDistanceField. The network outputs the features first and the distance last.

    Groups: "encoding" (the table), "network", "variance" (ln(s) / 10, the published parametrisation).
    """

    groups = ("encoding", "network", "variance")
    on_host = ("active", "epsilon")

    def __init__(self, recipe: HashGridSDF, channels: int):
        super().__init__()
        self.recipe = recipe
        self.register_buffer("bounds", cube(recipe.radius), persistent=False)
        self.network = recipe.grid.build(channels + 1, self.bounds)
        self.variance = nn.Parameter(torch.tensor(math.log(recipe.sharpness) / 10))
        # In the state, so that a trained scene keeps its levels and step when it is rendered or trained further.
        self.register_buffer("active", torch.zeros(()))
        self.register_buffer("epsilon", torch.tensor(torch.inf))
        self._activate(0, 1)

    @property
    def sharpness(self) -> Tensor:
        return torch.exp(10 * self.variance).clamp(max=_SHARPEST)

    def sdf(self, x: Tensor) -> Tensor:
        return self._evaluate(x)[0]

    def density(self, x: Tensor) -> Tensor:
        return opaque_density(self.sdf(x), self.sharpness)

    def forward(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput:
        sdf, features = self._evaluate(x)
        gradient = normal = None
        if normals:
            _, gradient, normal = finite_difference_gradient(self.sdf, x, float(self.epsilon), self.recipe.scheme, sdf)
        return FieldOutput(opaque_density(sdf, self.sharpness), features, normal, sdf, gradient)

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        self._activate(step, total)
        return ()

    def _activate(self, step: int, total: int) -> None:
        """Sets the active levels and the step of the differences by their schedules."""
        wanted = int(self.recipe.active_levels.at(step, total) + 1e-6)
        self.active.clamp_(min=float(min(max(wanted, 1), self.recipe.grid.levels)))
        self.epsilon.clamp_(max=self.recipe.epsilon.at(step, total))

    def color_grid(self) -> FeatureGrid:
        learned = self.network.learned()
        return replace(self.recipe.grid, learned=replace(learned, output=learned.output[:-1]))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {**self.network.parameter_groups(), "variance": [self.variance]}

    def _evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.network(x, float(self.active))
        return self.recipe.initial.sdf(x) + found[:, -1], found[:, :-1]


def distance_inputs() -> list:
    """The widgets of HashGridSDF, except its extent and its initial surface."""
    return [
        scheduled("epsilon", 0.01, "Step of the finite differences of normals, in world units. Use a falling Schedule, "
                                   'such as "0: 0.05, 0.5: 0.005", to start with smooth shapes.',
                  min=0.0001, max=1.0, step=0.0001, round=False),
        io.Combo.Input("differences", options=list(SCHEMES), default=SCHEMES[0],
                       tooltip="central: six more evaluations of the field for each normal. forward: three more, with "
                               "slightly less accurate normals."),
        io.Float.Input("sharpness", default=20.0, min=0.1, max=10_000.0, step=0.1,
                       tooltip="Initial sharpness: the surface is about one over this thick, in world units. It is "
                               "trained. Published: 20."),
        *grid_inputs(),
        scheduled("active_levels", 32.0, "Number of active levels, rounded down. Use a Schedule for a progressive "
                                         "grid.", min=1.0, max=32.0, step=1.0),
    ]


class HashGridSDFNode(Node):
    advanced = ("differences", "sharpness", "levels", "features", "log2_size", "base", "width", "finest")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_HashGridSDF", display_name=TITLE, category="Distill3D/fields",
            description="A signed distance from a hash grid and a small network: a volume with a surface (NeuS).",
            search_aliases=["neus", "signed distance", "implicit surface", "neuralangelo"],
            inputs=[
                radius_input(),
                *ellipsoid_inputs(),
                *distance_inputs(),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a NeuS Renderer. {groups_text(HashGridSDFModule.groups)}")])

    @classmethod
    def execute(cls, radius=1.15, radius_x=0.5, radius_y=0.5, radius_z=0.5, epsilon=0.01, differences=SCHEMES[0],
                sharpness=20.0, levels=16, features=2, log2_size=19, base=16, finest=4096, width=64,
                active_levels=32.0) -> io.NodeOutput:
        grid = FeatureGrid(levels, features, log2_size, base, finest, width)
        return io.NodeOutput(HashGridSDF(radius, InitialEllipsoid((radius_x, radius_y, radius_z)), grid,
                                         Schedule.of(active_levels), Schedule.of(epsilon), differences, sharpness))
