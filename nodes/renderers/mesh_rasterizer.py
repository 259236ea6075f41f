"""Mesh Rasterizer: pictures of a surface of triangles whose outlines carry gradients (nvdiffrast's method)."""
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
    """Recipe. It has no numbers of its own."""

    def build(self, field: Field, material: nn.Module, background: nn.Module) -> MeshScene:
        if not field.is_surface:
            raise DistillError("Mesh Rasterizer: this field is a volume, which has no triangles. Wire a surface, such as "
                               "Trainable Mesh or Tet Grid, or use the Volume Renderer.")
        field.begin_with(material)
        return MeshScene(self, field, material, background)


class MeshRasterizerNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_MeshRasterizer", display_name="Mesh Rasterizer", category="Distill3D/renderers",
            description="Pictures of a surface of triangles whose outlines carry gradients (nvdiffrast's method).",
            search_aliases=["nvdiffrast", "rasterizer", "mesh scene", "dmtet"],
            inputs=[
                FIELD.Input("field", tooltip="What is seen: a surface, such as Tet Grid or Trainable Mesh."),
                MATERIAL.Input("material", tooltip="How the field's features become colour."),
                BACKGROUND.Input("background", tooltip="What is seen beside the surface."),
                seed_input("Of the parameters that training starts from. Same seed, same result, bit for bit on the CPU."),
            ],
            outputs=[SCENE.Output("scene", tooltip="For Optimize, or to be looked at as it is.")])

    @classmethod
    def execute(cls, field, material, background, seed=0) -> io.NodeOutput:
        return io.NodeOutput(SceneRecipe(MeshRasterizer(), field, material, background, seed))
