"""Volume Renderer: pictures of a field of density and colour, by samples along rays (NeRF)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ..comfy import BACKGROUND, FIELD, MATERIAL, SCENE, Node, io, seed_input
from ..core.errors import DistillError
from ..core.field import Field
from ..core.scene import SceneRecipe
from .volume_scene import VolumeScene


@dataclass(frozen=True)
class VolumeRenderer:
    """Recipe.

    samples      steps along the diagonal of the bounds; a ray through their middle gets about 0.6 of them. The step is
                 the same everywhere. Published: 512
    occupancy    cells per axis of the grid that skips empty space, published 32; 0: none
    threshold    opacity of one step above which a cell counts as occupied, published 0.01
    max_samples  most samples in a training step; where there would be more, the step grows
    """

    samples: int = 80
    occupancy: int = 32
    threshold: float = 0.01
    max_samples: int = 2**22
    title: ClassVar[str] = "Volume Renderer"

    def __post_init__(self):
        if self.samples < 1 or self.max_samples < 1 or self.occupancy < 0:
            raise DistillError(f"{self.title}: samples and max_samples must be 1 or more and occupancy 0 or more.")

    def build(self, field: Field, material: nn.Module, background: nn.Module) -> "VolumeScene":
        if field.is_surface:
            raise DistillError(f"{self.title}: this field is a surface of triangles. Wire it to a Mesh Rasterizer.")
        if field.is_gaussian:
            raise DistillError(f"{self.title}: this field is made of Gaussians. Wire it to a Splat Renderer.")
        return VolumeScene(self, field, material, background)


def renderer_inputs(filling: str) -> list:
    """The sockets and widgets of VolumeRenderer. filling: what the field is."""
    return [
        FIELD.Input("field", tooltip=filling),
        MATERIAL.Input("material", tooltip="How the field's features become colour."),
        BACKGROUND.Input("background", tooltip="What rays see that pass by."),
        io.Int.Input("samples", default=80, min=1, max=8192, tooltip="Steps along the diagonal of the field's "
                     "bounds; the step is the same everywhere. Published: 512. 80 suits pictures of 32 pixels."),
        io.Int.Input("occupancy", default=32, min=0, max=256, tooltip="Cells per axis of the grid that skips empty "
                     "space; 0 looks everywhere."),
        io.Float.Input("occupancy_threshold", default=0.01, min=0.0, max=1.0, step=0.0001, round=False,
                       tooltip="A cell counts as empty where one step through it is less opaque than this."),
        io.Int.Input("max_samples", default=4_194_304, min=1024, max=1_073_741_824, step=1024,
                     tooltip="Most samples of one training step, which bounds memory: above it the step grows."),
        seed_input("Of the parameters that training starts from. Same seed, same result, bit for bit on the CPU."),
    ]


class VolumeRendererNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_VolumeRenderer", display_name="Volume Renderer", category="Distill3D/renderers",
            description="Pictures of a field of density and colour, by samples along rays (NeRF).",
            search_aliases=["nerf", "ray marching", "volume scene"],
            inputs=renderer_inputs("What fills space: one of the volumes."),
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or to be looked at as it is.")])

    @classmethod
    def execute(cls, field, material, background, samples=80, occupancy=32, occupancy_threshold=0.01,
                max_samples=4_194_304, seed=0) -> io.NodeOutput:
        renderer = VolumeRenderer(samples, occupancy, occupancy_threshold, max_samples)
        return io.NodeOutput(SceneRecipe(renderer, field, material, background, seed))
