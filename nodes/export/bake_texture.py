"""Bake Texture: the appearance of a scene as textures on the UV atlas of a mesh."""
from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.uv.bake import covered_texels, dilate
from ...kernels.uv.tangent import to_tangent_space
from ..assets.core_mesh import from_core, to_core
from ..assets.mesh import Mesh, smooth_normals
from ..assets.mesh_wire import with_tangents
from ..comfy import SCENE, Node, host, host_tick, io
from ..core.errors import DistillError
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from ..surface.color import check_volume, surface_color
from .surface_scene import appearance_at

NAME = "Bake Texture"
# Largest difference in degrees between the scene's and the mesh's normals that needs no normal map.
SAME_NORMAL = 2.0
# Messages of torch when memory runs out, by device and system.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


def bake_texture(mesh: Mesh, recipe: SceneRecipe, size: int = 1024, padding: int = 8,
                 device: str | torch.device = "cpu", tick: Tick = no_tick) -> Mesh:
    """The mesh with textures of the scene: base colour (albedo), and the other channels of its material.

    mesh     with UVs, in the scene's coordinates; it may deviate from the surface by 1 % of the scene's width
    size     of the textures, pixels; memory on the device about 300 bytes * size^2
    padding  pixels by which charts are extended outwards, so that filtered lookups stay inside

    For a volume each texel gets the colour rendered along the inward normal (`surface_color`), not the colour at one
    point, because the visible layer lies below the extracted surface. For a scene of triangles it gets the appearance
    of the nearest point of the surface, with metallic and roughness if the material has them, and a normal map where
    the scene's normals differ from the mesh's own (bumps, or detail that a coarser mesh lacks). Vertex colours are
    dropped. Texels far from any chart hold the mean. Raises DistillError when the mesh has no UVs or is not the
    scene's, when the scene is of another kind, and when memory is too small for the size.
    """
    if mesh.uv is None:
        raise DistillError(f"{NAME}: the mesh has no texture coordinates. Put Unwrap UV before this node.")
    try:
        with torch.inference_mode(False), torch.no_grad():
            return _bake(mesh.to(device), recipe.build(device), size, padding, tick).to("cpu")
    except RuntimeError as error:
        if any(words in str(error) for words in OUT_OF_MEMORY):
            raise DistillError(f"{NAME}: memory is too small for a texture of {size} x {size}. Lower "
                               "texture_size.") from error
        raise


def _bake(mesh: Mesh, scene: nn.Module, size: int, padding: int, tick: Tick) -> Mesh:
    # allocated first, so that too little memory fails at once
    maps = torch.empty(size * size, 9, device=mesh.vertices.device)
    if mesh.normals is None:
        mesh = replace(mesh, normals=smooth_normals(mesh.vertices, mesh.faces))
    mesh = with_tangents(mesh)
    place = torch.cat([mesh.vertices, mesh.normals, mesh.tangents], 1)
    texel, place = covered_texels(mesh.uv, mesh.faces, place, mesh.faces, size)
    if len(texel) == 0:
        raise DistillError(f"{NAME}: the mesh's texture coordinates cover no texel of {size} x {size}. "
                           "They should lie in 0..1: put Unwrap UV before this node.")
    position, normal, tangent = place.split([3, 3, 4], 1)

    def partly(share: float) -> None:
        tick(0.1 + 0.75 * share)

    if scene.is_surface:
        known, look = appearance_at(scene, position, NAME, partly)
        texel = texel[known]
        found = {"texture": look.albedo, "metallic_roughness": look.metallic_roughness,
                 "normal_map": _normal_map(look.normal, normal[known], tangent[known])}
    else:
        check_volume(scene, NAME)
        found = {"texture": surface_color(scene, position, F.normalize(normal, dim=-1), tick=partly)}
    found = {name: value for name, value in found.items() if value is not None}
    maps = maps[:, :3 * len(found)]
    values = torch.cat(list(found.values()), 1)
    maps[:] = values.mean(0)
    maps[texel] = values
    covered = torch.zeros(size * size, dtype=torch.bool, device=maps.device)
    covered[texel] = True
    maps = dilate(maps.view(size, size, -1), covered.view(size, size), padding).split(3, 2)
    textures = dict.fromkeys(("texture", "metallic_roughness", "normal_map")) | dict(zip(found, maps))
    if textures["normal_map"] is None:
        mesh = replace(mesh, tangents=None)
    return replace(mesh, **textures, vertex_colors=None)


def _normal_map(seen: Tensor, normal: Tensor, tangent: Tensor) -> Tensor | None:
    """The scene's normals [N,3] in the mesh's tangent space, as colours; None if they equal the mesh's own."""
    told = to_tangent_space(seen, normal, tangent)
    if float((told[:, 2] < math.cos(math.radians(SAME_NORMAL))).float().mean()) < 0.001:
        return None
    # A normal map cannot represent inward normals, so z is at least 0.
    return 0.5 + 0.5 * F.normalize(torch.cat([told[:, :2], told[:, 2:].clamp(min=1e-3)], 1), dim=1)


class BakeTextureNode(Node):
    advanced = ("padding",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_BakeTexture", display_name=NAME, category="Distill3D/export",
            description="Writes the appearance of a scene into textures on the UV atlas of a mesh: colours, and for "
                        "PBR also metallic, roughness and bumps. The result goes to Save Mesh.",
            search_aliases=["texture baking", "albedo map", "normal map", "metallic roughness", "pbr"],
            inputs=[
                io.Mesh.Input("mesh", tooltip="The scene's mesh with texture coordinates, from Unwrap UV."),
                SCENE.Input("scene", tooltip="The scene that the mesh was extracted from."),
                io.Int.Input("texture_size", default=1024, min=256, max=4096, step=256,
                             tooltip="Width and height of the textures, pixels."),
                io.Int.Input("padding", default=8, min=1, max=64,
                             tooltip="Pixels by which charts are extended outwards, against seams.")],
            outputs=[io.Mesh.Output("mesh", tooltip="The mesh with its textures.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, mesh, scene, texture_size=1024, padding=8) -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        result = bake_texture(from_core(mesh, NAME), scene, texture_size, padding, host().device(), tick)
        tick(1.0)
        return io.NodeOutput(to_core(result))
