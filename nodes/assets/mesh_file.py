"""Mesh files: GLB (glb_writer.py), OBJ with MTL and PNG, PLY, the latter by trimesh. Y up, looking along +Z."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...kernels.uv.bake import sample_texture
from ..core.errors import MissingPackage
from .glb_writer import glb_bytes, picture, png, to_bytes
from .mesh import Mesh, first_at, smooth_normals, to_y_up, weld

__all__ = ["glb_bytes", "obj_files", "ply_bytes"]


def obj_files(mesh: Mesh, stem: str) -> dict[str, bytes]:
    """The mesh as Wavefront OBJ: {file name: content}, the .obj last; with a texture also .mtl and .png.

    Texture coordinates belong to vertices, so that seams are double vertices, as in the other formats. Without a
    texture, vertex colours follow the positions, the extension that most programs read. Roughness, metallic and normal
    maps are named as the physically based extension of MTL does (map_Pr, map_Pm, norm). Raises MissingPackage.
    """
    trimesh = _trimesh()
    look = None
    if _is_textured(mesh):
        material = trimesh.visual.material.SimpleMaterial(
            image=picture(mesh.texture), ambient=(0, 0, 0), diffuse=(255, 255, 255), specular=(0, 0, 0))
        material.name = stem                             # names the picture too; trimesh 4 ignores the argument name
        look = trimesh.visual.TextureVisuals(uv=_uv(mesh), material=material)
    elif mesh.vertex_colors is not None:
        look = trimesh.visual.ColorVisuals(vertex_colors=_rgba(mesh.vertex_colors))
    text, files = trimesh.exchange.obj.export_obj(_solid(mesh, look), include_normals=True, return_texture=True,
                                                  mtl_name=f"{stem}.mtl", header=None)
    maps = _obj_maps(mesh) if _is_textured(mesh) else {}
    for word, values in maps.items():
        name = f"{stem}_{word.removeprefix('map_').lower()}.png"
        files[name] = png(values)
        files[f"{stem}.mtl"] = files[f"{stem}.mtl"].rstrip() + f"\n{word} {name}\n".encode()
    return {**files, f"{stem}.obj": text.encode()}


def _obj_maps(mesh: Mesh) -> dict[str, Tensor]:
    """Pictures by the word that MTL has for them."""
    maps = {}
    if mesh.metallic_roughness is not None:
        _, maps["map_Pr"], maps["map_Pm"] = mesh.metallic_roughness.unbind(-1)
    if mesh.opacity is not None:
        maps["map_d"] = mesh.opacity
    if mesh.normal_map is not None:
        maps["norm"] = mesh.normal_map
    return maps


def ply_bytes(mesh: Mesh) -> bytes:
    """The mesh as binary PLY, one vertex for each place, with normals and 8-bit display-referred colours.

    A texture is looked up at the vertices; its detail between them is lost. Raises MissingPackage.
    """
    trimesh = _trimesh()
    vertices, faces, place = weld(mesh.vertices, mesh.faces)
    first = first_at(place, len(vertices))
    colors = sample_texture(mesh.texture, mesh.uv) if _is_textured(mesh) else mesh.vertex_colors
    look = None if colors is None else trimesh.visual.ColorVisuals(vertex_colors=_rgba(colors[first]))
    welded = Mesh(vertices, faces, normals=None if mesh.normals is None else mesh.normals[first])
    return _solid(welded, look).export(file_type="ply", vertex_normal=True)


def _trimesh() -> Any:
    try:
        import trimesh
    except ImportError as error:
        raise MissingPackage("trimesh", "Writing a mesh file") from error
    return trimesh


def _solid(mesh: Mesh, look: Any) -> Any:
    """trimesh's mesh. process=False: it joins vertices, drops faces and reorders both otherwise."""
    normals = mesh.normals if mesh.normals is not None else smooth_normals(mesh.vertices, mesh.faces)
    vertices, normals = (to_y_up(part).detach().cpu().numpy() for part in (mesh.vertices, normals))
    return _trimesh().Trimesh(vertices, mesh.faces.cpu().numpy(), vertex_normals=normals, visual=look, process=False)


def _is_textured(mesh: Mesh) -> bool:
    return mesh.texture is not None and mesh.uv is not None


def _uv(mesh: Mesh) -> Any:
    """[V,2] with v upwards, as trimesh and OBJ count it; trimesh turns it back where it writes glTF."""
    if mesh.uv is None:
        return None
    u, v = mesh.uv.detach().cpu().double().unbind(1)     # double: 1 - (1 - v) is v
    return torch.stack([u, 1 - v], 1).numpy()


def _rgba(colors: Tensor) -> Any:
    """[V,3] in [0,1] -> opaque uint8 [V,4]."""
    import numpy as np

    return np.pad(to_bytes(colors), ((0, 0), (0, 1)), constant_values=255)
