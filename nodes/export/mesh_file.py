"""Mesh files, all written by trimesh: GLB, OBJ with MTL and PNG, PLY. Y up, looking along +Z, glTF's forward."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...kernels.image.color import srgb_to_linear
from ...kernels.uv.bake import sample_texture
from ..core.errors import MissingPackage
from ..core.mesh import Mesh, first_at, smooth_normals, to_y_up, weld

GREY = (128, 128, 128, 255)


def glb_bytes(mesh: Mesh) -> bytes:
    """The mesh as one GLB file (binary glTF 2.0), everything embedded.

    Normals always (computed where the mesh has none); an opaque, two-sided material of metallic 0 and roughness 1
    whose base colour is the texture as PNG, else the vertex colours (8 bit, linear as glTF defines COLOR_0), else
    grey. Equal meshes give equal bytes. Raises MissingPackage.
    """
    visual = _trimesh().visual
    material = visual.material.PBRMaterial(name="surface", metallicFactor=0.0, roughnessFactor=1.0,
                                           alphaMode="OPAQUE", doubleSided=True)
    look = visual.TextureVisuals(uv=_uv(mesh), material=material)
    if _is_textured(mesh):
        material.baseColorTexture = _picture(mesh.texture)
    elif mesh.vertex_colors is not None:
        look.vertex_attributes["color"] = _rgba(srgb_to_linear(mesh.vertex_colors))
    else:
        material.baseColorFactor = GREY
    return _solid(mesh, look).export(file_type="glb", include_normals=True)


def obj_files(mesh: Mesh, stem: str) -> dict[str, bytes]:
    """The mesh as Wavefront OBJ: {file name: content}, the .obj last; with a texture also .mtl and .png.

    Texture coordinates belong to vertices, so that seams are double vertices, as in the other formats. Without a
    texture, vertex colours follow the positions, the extension that most programs read. Raises MissingPackage.
    """
    trimesh = _trimesh()
    look = None
    if _is_textured(mesh):
        material = trimesh.visual.material.SimpleMaterial(
            image=_picture(mesh.texture), ambient=(0, 0, 0), diffuse=(255, 255, 255), specular=(0, 0, 0))
        material.name = stem                             # names the picture too; trimesh 4 ignores the argument name
        look = trimesh.visual.TextureVisuals(uv=_uv(mesh), material=material)
    elif mesh.vertex_colors is not None:
        look = trimesh.visual.ColorVisuals(vertex_colors=_rgba(mesh.vertex_colors))
    text, files = trimesh.exchange.obj.export_obj(_solid(mesh, look), include_normals=True, return_texture=True,
                                                  mtl_name=f"{stem}.mtl", header=None)
    return {**files, f"{stem}.obj": text.encode()}


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


def _to_bytes(colors: Tensor) -> Any:
    """[...] in [0,1] -> numpy uint8, rounded; values outside are clamped."""
    return (colors.detach().clamp(0, 1) * 255 + 0.5).byte().cpu().numpy()


def _rgba(colors: Tensor) -> Any:
    """[V,3] in [0,1] -> opaque uint8 [V,4]."""
    import numpy as np

    return np.pad(_to_bytes(colors), ((0, 0), (0, 1)), constant_values=255)


def _picture(texture: Tensor) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("Pillow", "Writing a texture") from error
    return Image.fromarray(_to_bytes(texture))
