"""Reading core's MESH from a wire: batch first, Y up and front +Z, linear vertex colours."""
from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable

import torch
from torch import Tensor

from ...kernels.image.color import linear_to_srgb
from ...kernels.uv.tangent import vertex_tangents
from ..core.errors import DistillError
from .mesh import Mesh, from_y_up, smooth_normals, unit_scale

# Maps on the UVs that are passed on unchanged.
MAPS = ("texture", "metallic_roughness", "normal_map")


def read_core_mesh(core: Any, node: str, warn: Callable[[str], None]) -> Mesh:
    """The first mesh of a core MESH, copied; `node` is named in messages.

    Warns about a batch of several meshes, and about an emissive map, which is dropped. A normal map without tangents
    gets the usual ones. Raises DistillError for another class, shapes that do not fit, faces with vertices that do not
    exist, an empty mesh, or positions that are not finite.
    """
    if not all(hasattr(core, name) for name in ("vertices", "faces", "uvs", "texture")):
        name = f"{type(core).__module__}.{type(core).__name__}"
        raise DistillError(f"{node}: the mesh input holds a {name}, not the MESH of ComfyUI itself. Some packs "
                           "give their own class the same name: connect a node that gives a core MESH, e.g. "
                           "Extract Mesh.")
    if len(core.vertices) == 0:
        raise DistillError(f"{node}: the mesh input is an empty batch. Connect a node that gives a mesh.")
    if len(core.vertices) > 1:
        warn(f"{node}: the mesh input is a batch of {len(core.vertices)}; only the first is used.")
    vertices, faces = _item(core, "vertices", "vertex_counts"), _item(core, "faces", "face_counts").long()
    _check(vertices, faces, node)
    if getattr(core, "emissive", None) is not None:
        warn(f"{node}: the mesh's emissive map is dropped.")
    of_vertices = {name: _item(core, name, "vertex_counts") for name in ("uvs", "normals", "vertex_colors", "tangents")}
    for name, value in of_vertices.items():
        if value is not None and len(value) != len(vertices):
            raise DistillError(f"{node}: the mesh has {len(vertices)} vertices but {len(value)} {name}. "
                               "Each vertex needs one.")
        if value is not None and not bool(value.isfinite().all()):
            raise DistillError(f"{node}: the mesh's {name} are not all finite. The node that made this mesh is at "
                               "fault.")
    uv, normals, colors, tangents = of_vertices.values()
    maps = {name: _item(core, name) if uv is not None else None for name in MAPS}
    mesh = Mesh(from_y_up(vertices.float()), faces, uv, **maps,
                vertex_colors=None if colors is None or maps["texture"] is not None
                else linear_to_srgb(colors[:, :3].float().clamp(0, 1)),
                normals=None if normals is None else from_y_up(normals))
    opacity = getattr(core, "opacity", None)  # of this pack: core's MESH has none
    if mesh.texture is not None and isinstance(opacity, Tensor) and opacity[0].shape == mesh.texture.shape[:2]:
        mesh = replace(mesh, opacity=_item(core, "opacity"), cutoff=getattr(core, "opacity_cutoff", None))
    if mesh.normal_map is None:
        return mesh
    return with_tangents(mesh) if tangents is None else replace(mesh, tangents=turned(tangents, from_y_up))


def with_tangents(mesh: Mesh) -> Mesh:
    """The mesh, which has UVs, with their tangents and with normals."""
    normals = mesh.normals if mesh.normals is not None else smooth_normals(mesh.vertices, mesh.faces)
    vertices = mesh.vertices * unit_scale(mesh.vertices)
    return replace(mesh, normals=normals, tangents=vertex_tangents(vertices, mesh.faces, mesh.uv, normals))


def turned(tangents: Tensor, turn: Callable[[Tensor], Tensor]) -> Tensor:
    """Tangents [V,4] with their directions rotated and their signs unchanged."""
    return torch.cat([turn(tangents[:, :3]), tangents[:, 3:]], 1)


def _item(core: Any, name: str, counts: str | None = None) -> Tensor | None:
    """A copy of the first item of a batched attribute without padding, on the CPU."""
    value = getattr(core, name, None)
    if value is None:
        return None
    sizes = getattr(core, counts, None) if counts else None
    item = value[0] if sizes is None else value[0][:int(sizes[0])]
    return item.detach().to("cpu", copy=True)


def _check(vertices: Tensor, faces: Tensor, node: str) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise DistillError(f"{node}: a mesh needs vertices [B,V,3] and triangles [B,F,3], got "
                           f"{[1, *vertices.shape]} and {[1, *faces.shape]}. Triangulate it first.")
    if len(vertices) == 0 or len(faces) == 0:
        raise DistillError(f"{node}: the mesh is empty ({len(vertices)} vertices, {len(faces)} faces).")
    if int(faces.min()) < 0 or int(faces.max()) >= len(vertices):
        raise DistillError(f"{node}: faces name vertices {int(faces.min())} to {int(faces.max())}, but there are "
                           f"{len(vertices)} vertices. The node that made this mesh is at fault.")
    if not bool(vertices.isfinite().all()):
        raise DistillError(f"{node}: {int((~vertices.isfinite()).any(1).sum())} of {len(vertices)} vertices are not "
                           "finite. The node that made this mesh is at fault.")
