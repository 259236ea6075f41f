"""Bake Texture: the colours of a volume scene on the UV atlas of a mesh."""
from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from ...kernels.uv.bake import dilate, texel_positions
from ..comfy import SCENE, Node, host, host_tick, io
from ..core.errors import DistillError
from ..core.mesh import Mesh, smooth_normals
from ..core.scene import SceneRecipe
from ..core.surface_color import check_volume, surface_color
from ..core.tick import Tick, no_tick
from .core_mesh import from_core, to_core

NAME = "Bake Texture"


def bake_texture(mesh: Mesh, recipe: SceneRecipe, size: int = 1024, padding: int = 8,
                 device: str | torch.device = "cpu", tick: Tick = no_tick) -> Mesh:
    """The mesh with a texture that shows the scene's base colour (albedo).

    mesh     with UVs, in the scene's own place; it may be coarser than the surface by 1 % of the scene's width
    size     of the texture, pixels
    padding  pixels by which charts are continued outwards, so that filtered lookups stay inside

    Each texel takes the colour that the volume shows along the surface normal behind it (`surface_color`), not the
    colour at one point: the visible layer lies below the extracted surface. Vertex colours are dropped. Texels far from
    any chart hold the mean colour. Raises DistillError when the mesh has no UVs or the scene is no volume.
    """
    if mesh.uv is None:
        raise DistillError(f"{NAME}: the mesh has no texture coordinates. Put Unwrap UV before this node.")
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        check_volume(scene, NAME)
        mesh = mesh.to(device)
        normals = mesh.normals if mesh.normals is not None else smooth_normals(mesh.vertices, mesh.faces)
        position, covered, _ = texel_positions(mesh.uv, mesh.faces, mesh.vertices, mesh.faces, size)
        if not bool(covered.any()):
            raise DistillError(f"{NAME}: the mesh's texture coordinates cover no texel of {size} x {size}. "
                               "They should lie in 0..1: put Unwrap UV before this node.")
        normal = F.normalize(texel_positions(mesh.uv, mesh.faces, normals, mesh.faces, size)[0][covered], dim=-1)
        colors = surface_color(scene, position[covered], normal, tick=lambda share: tick(0.1 + 0.85 * share))
        texture = colors.mean(0).expand(size, size, 3).clone()
        texture[covered] = colors
        return replace(mesh, texture=dilate(texture, covered, padding), vertex_colors=None).to("cpu")


class BakeTextureNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_BakeTexture", display_name=NAME, category="Distill3D/export",
            description="The colours of a volume scene on the UV atlas of a mesh. The result goes to Save Mesh.",
            search_aliases=["texture baking", "albedo map"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="The scene's mesh with texture coordinates, from Unwrap UV."),
                SCENE.Input("scene", tooltip="The volume scene that the mesh was extracted from."),
                io.Int.Input("texture_size", default=1024, min=256, max=4096, step=256,
                             tooltip="Width and height of the texture, pixels."),
                io.Int.Input("padding", default=8, min=1, max=64,
                             tooltip="Pixels by which charts are continued outwards, against seams.")],
            outputs=[io.Mesh.Output("mesh", tooltip="The mesh with its texture.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, mesh, scene, texture_size=1024, padding=8) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        result = bake_texture(from_core(mesh, NAME), scene, texture_size, padding, host().device(), tick)
        tick(1.0)
        return io.NodeOutput(to_core(result))
