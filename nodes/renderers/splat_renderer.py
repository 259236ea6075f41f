"""Splat Renderer: pictures of 3D Gaussians, drawn from near to far (3D Gaussian Splatting)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..comfy import BACKGROUND, FIELD, SCENE, Node, io, seed_input
from ..core.errors import DistillError
from ..core.field import Field
from ..core.material import OwnColor
from ..core.scene import SceneRecipe
from .splat_scene import SplatScene


@dataclass(frozen=True)
class SplatRenderer:
    """Recipe. antialiased: Gaussians smaller than a pixel fade instead of growing, so that a scene looks alike at every
    resolution."""

    antialiased: bool = False

    def build(self, field: Field, material: nn.Module, background: nn.Module) -> SplatScene:
        if not field.is_gaussian:
            raise DistillError("Splat Renderer: this field is not made of Gaussians. Wire the Gaussians node, or use the "
                               "renderer that fits: Volume Renderer, NeuS Renderer or Mesh Rasterizer.")
        return SplatScene(self, field, material, background)


class SplatRendererNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SplatRenderer", display_name="Splat Renderer", category="Distill3D/renderers",
            description="Pictures of 3D Gaussians, drawn from near to far (3D Gaussian Splatting).",
            search_aliases=["3dgs", "gaussian splatting", "rasterizer", "splat scene"],
            inputs=[
                FIELD.Input("field", tooltip="What is seen: the Gaussians node."),
                BACKGROUND.Input("background", tooltip="What is seen beside them."),
                io.Boolean.Input("antialiased", default=False, tooltip="Gaussians smaller than a pixel fade instead of growing "
                                 "(Mip-Splatting), so that a scene looks alike at every resolution. Other programs draw them as "
                                 "published, without."),
                seed_input("Of the parameters that training starts from. Same seed, same result, bit for bit on the CPU."),
            ],
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or to be looked at as it is.")])

    @classmethod
    def execute(cls, field, background, antialiased=False, seed=0) -> io.NodeOutput:
        return io.NodeOutput(SceneRecipe(SplatRenderer(antialiased), field, OwnColor(), background, seed))
