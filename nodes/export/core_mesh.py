"""Between the pack's mesh and core's MESH: batch first, Y up and front +Z, linear vertex colours."""
from __future__ import annotations

from typing import Any

from torch import Tensor

from ...kernels.image.color import linear_to_srgb, srgb_to_linear
from ..comfy import Types, host
from ..core.errors import DistillError
from ..core.mesh import Mesh, from_y_up, to_y_up

# Core's maps that this pack neither reads nor writes.
OTHER_MAPS = ("metallic_roughness", "normal_map", "emissive")


def to_core(mesh: Mesh) -> Any:
    """Core's Types.MESH with a batch of one, on the CPU. Positions and normals Y up, vertex colours linear."""
    def item(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.detach().cpu().contiguous()[None]

    core = Types.MESH(vertices=item(to_y_up(mesh.vertices)), faces=item(mesh.faces))
    # Attributes rather than arguments: older hosts know fewer of them.
    core.uvs, core.texture = item(mesh.uv), item(mesh.texture)
    core.vertex_colors = None if mesh.vertex_colors is None else item(srgb_to_linear(mesh.vertex_colors))
    core.normals = None if mesh.normals is None else item(to_y_up(mesh.normals))
    return core


def from_core(core: Any, node: str) -> Mesh:
    """The first mesh of a core MESH, copied; `node` is named in messages.

    A batch of several gives a warning, maps that this pack does not carry another one. Raises DistillError for another
    class, shapes that do not fit, faces that name no vertex, an empty mesh or positions that are not finite.
    """
    if not all(hasattr(core, name) for name in ("vertices", "faces", "uvs", "texture")):
        name = f"{type(core).__module__}.{type(core).__name__}"
        raise DistillError(f"{node}: the mesh input holds a {name}, not the MESH of ComfyUI itself. Some packs "
                           "give their own class the same name: connect a node that gives a core MESH, e.g. "
                           "Extract Mesh.")
    if len(core.vertices) == 0:
        raise DistillError(f"{node}: the mesh input is an empty batch. Connect a node that gives a mesh.")
    if len(core.vertices) > 1:
        host().warn(f"{node}: the mesh input is a batch of {len(core.vertices)}; only the first is used.")
    vertices, faces = _item(core, "vertices", "vertex_counts"), _item(core, "faces", "face_counts").long()
    _check(vertices, faces, node)
    ignored = [name for name in OTHER_MAPS if getattr(core, name, None) is not None]
    if ignored:
        host().warn(f"{node}: the mesh's {', '.join(ignored)} {'is' if len(ignored) == 1 else 'are'} dropped.")
    uv, normals = _item(core, "uvs", "vertex_counts"), _item(core, "normals", "vertex_counts")
    colors, texture = _item(core, "vertex_colors", "vertex_counts"), _item(core, "texture")
    for name, value in (("uvs", uv), ("normals", normals), ("vertex_colors", colors)):
        if value is not None and len(value) != len(vertices):
            raise DistillError(f"{node}: the mesh has {len(vertices)} vertices but {len(value)} {name}. "
                               "Each vertex needs one.")
    return Mesh(from_y_up(vertices.float()), faces, uv, texture if uv is not None else None,
                None if colors is None or (uv is not None and texture is not None)
                else linear_to_srgb(colors[:, :3].float().clamp(0, 1)),
                None if normals is None else from_y_up(normals))


def _item(core: Any, name: str, counts: str | None = None) -> Tensor | None:
    """The first item of a batched attribute without its padding, a copy of our own on the CPU."""
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
