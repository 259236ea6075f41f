"""Mesh Style: colours and fine relief of a given mesh by a network of its surface points (Text2Mesh)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Linear

from ...kernels.encode.gaussian import encode_gaussian
from ...kernels.surface.mesh import vertex_normals
from ..assets.mesh import Mesh, weld
from ..assets.mesh_wire import read_core_mesh
from ..comfy import FIELD, Node, host, io
from ..core.errors import DistillError
from ..core.field import Surface, SurfaceField, groups_text

TITLE = "Mesh Style"
FREQUENCIES = 256


@dataclass(frozen=True)
class MeshStyle:
    """Recipe of a network on Fourier features of surface points, with a head for features and a head for displacements
    along the normals (Michel et al. 2022, sec. 3.1).

    mesh       its triangles are kept; its colours are ignored
    bandwidth  standard deviation of the frequencies, waves per world unit: larger is finer. Published 5 to 12
    width, depth  of the network that both heads share
    relief     largest displacement, world units; published 0.1
    """

    mesh: Mesh
    bandwidth: float = 5.0
    width: int = 256
    depth: int = 4
    relief: float = 0.1

    def __post_init__(self):
        if min(self.width, self.depth) < 1 or not (self.bandwidth >= 0 and self.relief >= 0):
            raise DistillError(f"{TITLE}: width is {self.width}, depth {self.depth}, bandwidth {self.bandwidth}, "
                               f"relief {self.relief}. Use 1 or more for the first two, 0 or more for the others.")

    def build(self, channels: int) -> "MeshStyleModule":
        return MeshStyleModule(self, channels)


class MeshStyleModule(SurfaceField):
    """See MeshStyle. Groups: "network" (shared layers and the head of features), "relief" (the head of displacements,
    initialised to 0)."""

    groups = ("network", "relief")

    def __init__(self, recipe: MeshStyle, channels: int):
        super().__init__()
        self.recipe = recipe
        vertices, faces, _ = weld(recipe.mesh.vertices.detach().clone().float(), recipe.mesh.faces.clone())
        for name, value in dict(rest=vertices, faces=faces, normals=vertex_normals(vertices, faces)).items():
            self.register_buffer(name, value, persistent=False)
        room = recipe.relief + 1e-3
        self.register_buffer("bounds", torch.stack([vertices.amin(0) - room, vertices.amax(0) + room]),
                             persistent=False)
        self.register_buffer("frequencies", recipe.bandwidth * torch.randn(3, FREQUENCIES))
        sizes = [2 * FREQUENCIES + 3, *[recipe.width] * recipe.depth]
        layers: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:]):
            layers += [Linear(before, after), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.feature_head, self.relief_head = Linear(recipe.width, channels), Linear(recipe.width, 1)
        for head in (self.feature_head, self.relief_head):  # the mesh begins as it is, in one colour
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def _hidden(self, x: Tensor) -> Tensor:
        return self.trunk(torch.cat([x, encode_gaussian(x, self.frequencies)], 1))

    def surface(self) -> Surface:
        vertices = self.rest
        if self.recipe.relief:
            height = self.recipe.relief * torch.tanh(self.relief_head(self._hidden(self.rest)))
            vertices = self.rest + height * self.normals
        return Surface(vertices, self.faces, vertex_normals(vertices, self.faces))

    def features(self, position: Tensor, uv: Tensor | None = None, footprint: Tensor | None = None) -> Tensor:
        """See SurfaceField. No gradient reaches the position: colours do not move vertices."""
        return self.feature_head(self._hidden(position.detach()))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        network = [*self.trunk.parameters(), *self.feature_head.parameters()]
        return {"network": network, "relief": list(self.relief_head.parameters())}


class MeshStyleNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_MeshStyle", display_name=TITLE, category="Distill3D/fields",
            description="Colours and fine relief of a given mesh, by a network of its surface points (Text2Mesh).",
            search_aliases=["text2mesh", "stylize", "neural style field", "displacement"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="The mesh. Only the relief changes its shape. Relief needs small "
                                              "triangles: subdivide or remesh it first."),
                io.Float.Input("bandwidth", default=5.0, min=0.0, max=100.0, step=0.5, tooltip="How fine colours and "
                               "relief may be, waves per world unit. Text2Mesh: 5 to 12."),
                io.Int.Input("width", default=256, min=1, max=2048, tooltip="Width of the network's layers. Text2Mesh: "
                             "256."),
                io.Int.Input("depth", default=4, min=1, max=16, tooltip="Number of layers."),
                io.Float.Input("relief", default=0.1, min=0.0, max=1.0, step=0.01, tooltip="Largest displacement along "
                               "the normals, world units. 0: only colours. Text2Mesh: 0.1."),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a Mesh Rasterizer. {groups_text(MeshStyleModule.groups)}")])

    @classmethod
    def execute(cls, mesh, bandwidth=5.0, width=256, depth=4, relief=0.1) -> io.NodeOutput:
        return io.NodeOutput(MeshStyle(read_core_mesh(mesh, TITLE, host().warn), bandwidth, width, depth, relief))
