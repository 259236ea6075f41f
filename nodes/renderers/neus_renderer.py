"""NeuS Renderer: volume rendering of a signed distance field (Wang et al. 2021)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from ..comfy import SCENE, Node, io, scheduled
from ..core.field import Field
from ..core.scene import SceneRecipe
from ..core.schedule import Schedule
from .neus_scene import NeuSScene
from .volume_renderer import VolumeRenderer, renderer_inputs


@dataclass(frozen=True)
class NeuSRenderer(VolumeRenderer):
    """Recipe; see VolumeRenderer.

    annealing  see kernels.volume.neus.incidence; published: 0 to 1 over the first part of the run
    """

    annealing: Schedule = Schedule.of(1.0)
    title: ClassVar[str] = "NeuS Renderer"

    def build(self, field: Field, material: nn.Module, background: nn.Module) -> NeuSScene:
        return NeuSScene(self, field, material, background)


class NeuSRendererNode(Node):
    advanced = ("occupancy", "occupancy_threshold", "max_samples", "seed")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_NeuSRenderer", display_name="NeuS Renderer", category="Distill3D/renderers",
            description="Volume rendering of a signed distance field (NeuS).",
            search_aliases=["neus", "signed distance", "surface rendering"],
            inputs=[
                *renderer_inputs("A signed distance field: Hash Grid SDF or Scene to SDF."),
                scheduled("annealing", 1.0, "Cosine annealing of NeuS. 1: use the angle between surface and ray. 0: "
                                            "treat every surface as half turned away, so that back faces get gradients "
                                            'too. Use a Schedule such as "0: 0, 0.5: 1".',
                          min=0.0, max=1.0, step=0.01),
            ],
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or for rendering as it is.")])

    @classmethod
    def execute(cls, field, material, background, samples=80, occupancy=32, occupancy_threshold=0.01,
                max_samples=4_194_304, seed=0, annealing=1.0) -> io.NodeOutput:
        renderer = NeuSRenderer(samples, occupancy, occupancy_threshold, max_samples, Schedule.of(annealing))
        return io.NodeOutput(SceneRecipe(renderer, field, material, background, seed))
