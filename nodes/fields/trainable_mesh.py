"""Trainable Mesh: trains the texture of a mesh, and optionally its vertices, by rasterisation (DreamGaussian)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.raster.texture import mip_pyramid, sample_mip
from ...kernels.surface.mesh import vertex_normals
from ...kernels.uv.bake import dilate, texel_positions
from ...kernels.uv.box_atlas import box_atlas
from ..assets.mesh import Mesh, weld
from ..assets.mesh_wire import read_core_mesh
from ..comfy import FIELD, Node, host, io
from ..core.errors import DistillError
from ..core.field import Surface, SurfaceField, groups_text

GREY = 0.5
# Texels around charts that are filled for filtered lookups and coarser mip levels.
PADDING = 8


@dataclass(frozen=True)
class TrainableMesh:
    """Recipe of a mesh whose features are stored in a texture.

    mesh   initial shape and colours (texture or vertex colours, otherwise grey). Without UVs it gets an atlas by box
           projection
    size   texels per side of the trained texture
    shape  also train an offset of each vertex
    """

    mesh: Mesh
    size: int = 512
    shape: bool = False

    def __post_init__(self):
        if self.size < 4:
            raise DistillError(f"Trainable Mesh: size must be 4 or more, got {self.size}.")

    def build(self, channels: int) -> "TrainableMeshModule":
        return TrainableMeshModule(self, channels)


class TrainableMeshModule(SurfaceField):
    """See TrainableMesh. Groups: "texture" (features [S,S,C] before the material's activation), "position" (offsets
    [V,3], world units). Both sides of a UV seam share their vertices."""

    groups = ("texture", "position")

    def __init__(self, recipe: TrainableMesh, channels: int):
        super().__init__()
        self.recipe, mesh = recipe, recipe.mesh
        vertices, faces, _ = weld(mesh.vertices.detach().clone().float(), mesh.faces.clone())
        uv, faces_uv = (mesh.uv.detach().clone().float(), mesh.faces.clone()) if mesh.uv is not None else \
            box_atlas(vertices, faces)[:2]
        for name, value in dict(rest=vertices, faces=faces, uv=uv, faces_uv=faces_uv).items():
            self.register_buffer(name, value, persistent=False)
        low, high = vertices.amin(0), vertices.amax(0)
        room = 0.1 * (high - low).amax() if recipe.shape else 1e-3 * (high - low).amax()
        self.register_buffer("bounds", torch.stack([low - room, high + room]), persistent=False)
        self.texture = nn.Parameter(torch.zeros(recipe.size, recipe.size, channels))
        if recipe.shape:
            self.offset = nn.Parameter(torch.zeros_like(vertices))

    def begin_with(self, material: nn.Module) -> None:
        """Initialises the texture so that `material` shows the mesh's own colours."""
        with torch.no_grad():
            self.texture.copy_(material.features_of(self._painting()))

    def surface(self) -> Surface:
        vertices = self.rest + self.offset if self.recipe.shape else self.rest
        return Surface(vertices, self.faces, vertex_normals(vertices, self.faces), self.uv, self.faces_uv)

    def features(self, position: Tensor, uv: Tensor | None = None, footprint: Tensor | None = None) -> Tensor:
        """See SurfaceField. Gradients reach every texel that a mip level averages."""
        if uv is None:
            raise DistillError("Trainable Mesh: its features are in a texture and need texture coordinates; none were "
                               "given.")
        return sample_mip([self.texture] if footprint is None else mip_pyramid(self.texture), uv, footprint)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        groups = {"texture": [self.texture]}
        return groups | {"position": [self.offset]} if self.recipe.shape else groups

    def _painting(self) -> Tensor:
        """The mesh's own colours [S,S,3] in this field's atlas."""
        mesh, size = self.recipe.mesh, self.recipe.size
        if mesh.uv is not None and mesh.texture is not None:
            image = mesh.texture.detach().clone().float().permute(2, 0, 1)[None, :3]
            is_smaller = min(image.shape[2:]) >= size
            image = F.interpolate(image, (size, size), mode="area" if is_smaller else "bilinear")
            return image[0].permute(1, 2, 0).to(self.texture)
        if mesh.vertex_colors is None:
            return torch.full((size, size, 3), GREY).to(self.texture)
        colors = mesh.vertex_colors.detach().clone().float().to(self.texture)
        painting, mask, _ = texel_positions(self.uv, self.faces_uv, colors, mesh.faces.to(self.faces), size)
        return dilate(painting, mask, PADDING)


class TrainableMeshNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainableMesh", display_name="Trainable Mesh", category="Distill3D/fields",
            description="Trains the texture of a mesh, and optionally its vertices, by rasterisation (DreamGaussian).",
            search_aliases=["texture refinement", "texturing", "paint mesh", "mesh field"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="The initial mesh, with its texture or vertex colours. A mesh without "
                                              "UVs gets a box projection; Unwrap UV gives better charts."),
                io.Int.Input("size", default=512, min=4, max=8192, step=4,
                             tooltip="Texels per side of the trained texture. DreamGaussian: 1024."),
                io.Boolean.Input("shape", default=False,
                                 tooltip="Also train the vertices. Add Laplacian and Normal Consistency losses to keep "
                                         "them smooth."),
            ],
            outputs=[FIELD.Output("field", tooltip="For a Mesh Rasterizer. "
                                                   f"{groups_text(TrainableMeshModule.groups)}")])

    @classmethod
    def execute(cls, mesh, size=512, shape=False) -> io.NodeOutput:
        return io.NodeOutput(TrainableMesh(read_core_mesh(mesh, "Trainable Mesh", host().warn), size, shape))
