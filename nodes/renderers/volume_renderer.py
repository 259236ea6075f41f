"""Volume Renderer: volume rendering of density and colour along rays (Mildenhall et al. 2020, NeRF)."""
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
    """Recipe of a VolumeScene.

    samples      steps along the diagonal of the bounds, all of one length. A ray through the middle gets about 0.6 of
                 them. Published: 512
    occupancy    cells per axis of the occupancy grid that skips empty space, published 32; 0: no grid
    threshold    opacity of one step above which a cell is occupied, published 0.01
    max_samples  largest number of samples of a training step; if there would be more, the step length grows
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
            raise DistillError(f"{self.title}: this field is a surface of triangles. Connect it to a Mesh Rasterizer.")
        if field.is_gaussian:
            raise DistillError(f"{self.title}: this field is made of Gaussians. Connect it to a Splat Renderer.")
        return VolumeScene(self, field, material, background)


def renderer_inputs(filling: str) -> list:
    """The sockets and widgets of VolumeRenderer. filling: tooltip of the field."""
    return [
        FIELD.Input("field", tooltip=filling),
        MATERIAL.Input("material", tooltip="Turns the field's features into colour."),
        BACKGROUND.Input("background", tooltip="The colour of rays that hit nothing."),
        io.Int.Input("samples", default=80, min=1, max=8192, tooltip="Steps along the diagonal of the field's "
                     "bounds, all of one length. Published: 512. 80 is enough for images of 32 pixels."),
        io.Int.Input("occupancy", default=32, min=0, max=256, tooltip="Cells per axis of the occupancy grid that skips "
                     "empty space; 0: no grid."),
        io.Float.Input("occupancy_threshold", default=0.01, min=0.0, max=1.0, step=0.0001, round=False,
                       tooltip="A cell is empty if the opacity of one step through it is below this."),
        io.Int.Input("max_samples", default=4_194_304, min=1024, max=1_073_741_824, step=1024,
                     tooltip="Largest number of samples of a training step. Bounds memory: above it the step length "
                             "grows."),
        seed_input("Seed of the initial parameters. Same seed, same result, bit for bit on the CPU."),
    ]


class VolumeRendererNode(Node):
    advanced = ("occupancy", "occupancy_threshold", "max_samples", "seed")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_VolumeRenderer", display_name="Volume Renderer", category="Distill3D/renderers",
            description="Volume rendering of density and colour along rays (NeRF).",
            search_aliases=["nerf", "ray marching", "volume scene"],
            inputs=renderer_inputs("A volume: density and colour at every point."),
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or for rendering as it is.")])

    @classmethod
    def execute(cls, field, material, background, samples=80, occupancy=32, occupancy_threshold=0.01,
                max_samples=4_194_304, seed=0) -> io.NodeOutput:
        renderer = VolumeRenderer(samples, occupancy, occupancy_threshold, max_samples)
        return io.NodeOutput(SceneRecipe(renderer, field, material, background, seed))
