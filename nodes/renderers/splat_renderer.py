"""Splat Renderer: renders 3D Gaussians (Kerbl et al. 2023, 3D Gaussian Splatting)."""
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
    """Recipe of a SplatScene. antialiased: Gaussians smaller than a pixel become fainter instead of larger
    (Mip-Splatting), so that a scene looks the same at every resolution."""

    antialiased: bool = False

    def build(self, field: Field, material: nn.Module, background: nn.Module) -> SplatScene:
        if not field.is_gaussian:
            raise DistillError("Splat Renderer: this field is not made of Gaussians. Connect the Gaussians node, or "
                               "use the renderer that fits: Volume Renderer, NeuS Renderer or Mesh Rasterizer.")
        return SplatScene(self, field, material, background)


class SplatRendererNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SplatRenderer", display_name="Splat Renderer", category="Distill3D/renderers",
            description="Renders 3D Gaussians (3D Gaussian Splatting).",
            search_aliases=["3dgs", "gaussian splatting", "rasterizer", "splat scene"],
            inputs=[
                FIELD.Input("field", tooltip="From the Gaussians node."),
                BACKGROUND.Input("background", tooltip="The colour behind the Gaussians."),
                io.Boolean.Input("antialiased", default=False,
                                 tooltip="Gaussians smaller than a pixel become fainter instead of larger "
                                         "(Mip-Splatting), so that a scene looks the same at every resolution. Most "
                                         "viewers render without."),
                seed_input("Seed of the initial parameters. Same seed, same result, bit for bit on the CPU."),
            ],
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or for rendering as it is.")])

    @classmethod
    def execute(cls, field, background, antialiased=False, seed=0) -> io.NodeOutput:
        return io.NodeOutput(SceneRecipe(SplatRenderer(antialiased), field, OwnColor(), background, seed))
