"""Mesh files, all written by trimesh: GLB, OBJ with MTL and PNG, PLY. Y up, looking along +Z, glTF's forward."""
from __future__ import annotations

from io import BytesIO
from typing import Any

import torch
from torch import Tensor

from ...kernels.image.color import srgb_to_linear
from ...kernels.uv.bake import sample_texture
from ..core.errors import MissingPackage
from .mesh import Mesh, first_at, smooth_normals, to_y_up, weld
from .mesh_wire import turned

GREY = (128, 128, 128, 255)
TANGENT = "_TANGENT"
# Bilinear, between two mip levels where small, and clamped to the edge, in OpenGL's numbers.
SAMPLER = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}


def glb_bytes(mesh: Mesh) -> bytes:
    """The mesh as one GLB file (binary glTF 2.0), everything embedded.

    Normals always (computed where the mesh has none); an opaque, two-sided material whose base colour is the texture as
    PNG, else the vertex colours (8 bit, linear as glTF defines COLOR_0), else grey. Its metallic and roughness are
    those of the map, else 0 and 1. A normal map comes with tangents, so that no viewer has to guess its axes. Equal
    meshes give equal bytes. Raises MissingPackage.
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
    if mesh.uv is not None and mesh.metallic_roughness is not None:
        material.metallicRoughnessTexture, material.metallicFactor = _picture(mesh.metallic_roughness), 1.0
    solid = _solid(mesh, look)
    if mesh.uv is not None and mesh.normal_map is not None:
        material.normalTexture = _picture(mesh.normal_map)
        solid.vertex_attributes[TANGENT] = turned(mesh.tangents, to_y_up).detach().cpu().numpy()
    return solid.export(file_type="glb", include_normals=True, tree_postprocessor=_complete)


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
            image=_picture(mesh.texture), ambient=(0, 0, 0), diffuse=(255, 255, 255), specular=(0, 0, 0))
        material.name = stem                             # names the picture too; trimesh 4 ignores the argument name
        look = trimesh.visual.TextureVisuals(uv=_uv(mesh), material=material)
    elif mesh.vertex_colors is not None:
        look = trimesh.visual.ColorVisuals(vertex_colors=_rgba(mesh.vertex_colors))
    text, files = trimesh.exchange.obj.export_obj(_solid(mesh, look), include_normals=True, return_texture=True,
                                                  mtl_name=f"{stem}.mtl", header=None)
    maps = _obj_maps(mesh) if _is_textured(mesh) else {}
    for word, picture in maps.items():
        name = f"{stem}_{word.removeprefix('map_').lower()}.png"
        files[name] = _png(picture)
        files[f"{stem}.mtl"] = files[f"{stem}.mtl"].rstrip() + f"\n{word} {name}\n".encode()
    return {**files, f"{stem}.obj": text.encode()}


def _obj_maps(mesh: Mesh) -> dict[str, Tensor]:
    """Pictures by the word that MTL has for them."""
    maps = {}
    if mesh.metallic_roughness is not None:
        _, maps["map_Pr"], maps["map_Pm"] = mesh.metallic_roughness.unbind(-1)
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


def _complete(tree: dict[str, Any]) -> None:
    """What trimesh does not write: the name of the tangents, which it marks with an underscore as an application's, and
    samplers. Without one textures repeat, and a chart at the border would take colour from the other side."""
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    if TANGENT in attributes:
        attributes["TANGENT"] = attributes.pop(TANGENT)
    if tree.get("textures"):
        tree["samplers"] = [SAMPLER]
        for texture in tree["textures"]:
            texture["sampler"] = 0


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
    """[H,W,3], or [H,W] for a grey one."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("Pillow", "Writing a texture") from error
    return Image.fromarray(_to_bytes(texture))


def _png(texture: Tensor) -> bytes:
    with BytesIO() as file:
        _picture(texture).save(file, format="png")
        return file.getvalue()
