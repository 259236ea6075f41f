"""Mesh Rasterizer: renders triangles, with gradients through silhouettes (Laine et al. 2020, nvdiffrast)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ..comfy import BACKGROUND, FIELD, MATERIAL, SCENE, Node, io, seed_input
from ..core.errors import DistillError
from ..core.field import Field
from ..core.scene import SceneRecipe
from .mesh_scene import MeshScene


@dataclass(frozen=True)
class MeshRasterizer:
    """Recipe of a MeshScene."""

    def build(self, field: Field, material: nn.Module, background: nn.Module) -> MeshScene:
        if not field.is_surface:
            raise DistillError("Mesh Rasterizer: this field is a volume and has no triangles. Connect a surface, such "
                               "as Trainable Mesh or Tet Grid, or use the Volume Renderer.")
        field.begin_with(material)
        return MeshScene(self, field, material, background)


class MeshRasterizerNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_MeshRasterizer", display_name="Mesh Rasterizer", category="Distill3D/renderers",
            description="Renders triangles by differentiable rasterisation: gradients also move silhouettes "
                        "(nvdiffrast).",
            search_aliases=["nvdiffrast", "rasterizer", "mesh scene", "dmtet"],
            inputs=[
                FIELD.Input("field", tooltip="A surface, such as Tet Grid or Trainable Mesh."),
                MATERIAL.Input("material", tooltip="Turns the field's features into colour."),
                BACKGROUND.Input("background", tooltip="The colour of pixels that show no surface."),
                seed_input("Seed of the initial parameters. Same seed, same result, bit for bit on the CPU."),
            ],
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or for rendering as it is.")])

    @classmethod
    def execute(cls, field, material, background, seed=0) -> io.NodeOutput:
        return io.NodeOutput(SceneRecipe(MeshRasterizer(), field, material, background, seed))
