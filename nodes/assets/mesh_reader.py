"""Reading mesh files, all through trimesh: GLB, glTF, OBJ, STL, PLY. Files are Y up."""
from __future__ import annotations

import os
from dataclasses import replace
from io import BytesIO
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.color import linear_to_srgb, srgb_to_linear
from ..core.errors import DistillError, MissingPackage
from .mesh import Mesh, from_y_up

FORMATS = ("glb", "gltf", "obj", "stl", "ply")


def read_mesh(source: str | os.PathLike | bytes, file_format: str, node: str) -> Mesh:
    """The mesh of a file: of its path, or of its content. All its parts in one, each where the file places it.

    The base colour is kept (a texture, or colours at the vertices, times the material's factor), UVs belong to a
    texture only, normals are always given. Where several parts have textures, trimesh packs them into one. Files beside
    it (.mtl, .bin, pictures) are found from a path only. Raises DistillError, beginning with `node`, for another format
    and for a file that cannot be read or has no triangles, and MissingPackage.
    """
    kind = file_format.lower()
    if kind not in FORMATS:
        raise DistillError(f'{node}: files of the kind "{kind}" are not read. Convert it to one of: '
                           f'{", ".join(FORMATS)}.')
    try:
        import trimesh
    except ImportError as error:
        raise MissingPackage("trimesh", "Reading a mesh file") from error
    try:
        scene = trimesh.load_scene(BytesIO(source) if isinstance(source, bytes) else os.fspath(source), file_type=kind,
                                   process=False)
        placed = [scene.graph[name] for name in scene.graph.nodes_geometry]
        parts = [(scene.geometry[shape], _tensor(matrix))
                 for matrix, shape in placed if hasattr(scene.geometry[shape], "faces")]
        mesh = _joined(scene.to_mesh(), parts, is_linear=kind in ("glb", "gltf")) if parts else None
    except Exception as error:  # whatever a parser stumbles over
        raise DistillError(f"{node}: the file cannot be read as {kind.upper()} ({type(error).__name__}: {error}). Save "
                           "it again from the program that made it.") from error
    if mesh is None or not len(mesh.faces):
        raise DistillError(f"{node}: the file has no triangles. Point clouds and Gaussian splats are no meshes.")
    return mesh


def _joined(whole: Any, parts: list[tuple[Any, Tensor]], is_linear: bool) -> Mesh:
    """whole: trimesh's own union of the parts, each of which comes with the matrix [4,4] that places it. is_linear:
    colours that are no pictures."""
    normals = F.normalize(torch.cat([_tensor(part.vertex_normals) @ torch.linalg.inv(place[:3, :3])
                                     for part, place in parts]),
                          dim=-1)
    mesh = Mesh(from_y_up(_tensor(whole.vertices)), torch.as_tensor(whole.faces.copy(), dtype=torch.int64),
                normals=from_y_up(normals))
    if any(_picture(part.visual) is not None for part, _ in parts):
        u, v = _tensor(whole.visual.uv).unbind(1)
        return replace(mesh, uv=torch.stack([u, 1 - v], 1), texture=_texture(whole.visual))
    colors = [_colors(part, is_linear) for part, _ in parts]
    if all(one is None for one in colors):
        return mesh
    return replace(mesh, vertex_colors=torch.cat([torch.ones(len(part.vertices), 3) if one is None else one
                                                  for one, (part, _) in zip(colors, parts)]))


def _picture(visual: Any) -> Any:
    """The base colour as PIL's picture, or None."""
    if getattr(visual, "uv", None) is None:
        return None
    return getattr(visual.material, "baseColorTexture", None) or getattr(visual.material, "image", None)


def _texture(visual: Any) -> Tensor:
    """[H,W,3], display-referred, times the factor of glTF's material."""
    import numpy as np

    texture = _unit(np.asarray(_picture(visual).convert("RGB")))
    factor = getattr(visual.material, "baseColorFactor", None)
    return texture if factor is None else linear_to_srgb(srgb_to_linear(texture) * _unit(factor))


def _colors(part: Any, is_linear: bool) -> Tensor | None:
    """[V,3], display-referred: the vertices' times the material's; None where neither is given."""
    visual, material = part.visual, getattr(part.visual, "material", None)
    if material is None:
        given = [visual.vertex_colors] if visual.defined else []
    else:
        given = [visual.vertex_attributes.get("color"), getattr(material, "baseColorFactor", None),
                 getattr(material, "diffuse", None)]
    given = [_unit(one) for one in given if one is not None]
    if not given:
        return None
    color = torch.ones(len(part.vertices), 3)
    for one in given:
        color = color * one
    return linear_to_srgb(color) if is_linear else color


def _unit(colors: Any) -> Tensor:
    """[...,3] in [0,1] of numpy's colours: whole numbers up to the largest of their type, or numbers in [0,1]."""
    import numpy as np

    largest = np.iinfo(colors.dtype).max if colors.dtype.kind in "ui" else 1
    return (_tensor(colors)[..., :3] / largest).clamp(0, 1)


def _tensor(array: Any) -> Tensor:
    return torch.tensor(array, dtype=torch.float32)
