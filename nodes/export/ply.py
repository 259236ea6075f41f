"""PLY with colours at the vertices."""
from __future__ import annotations

import numpy as np

from ...kernels.uv.bake import sample_texture
from ..core.mesh import Mesh, first_at, smooth_normals, weld
from .core_mesh import to_y_up
from .png import to_bytes


def ply_bytes(mesh: Mesh) -> bytes:
    """The mesh as binary PLY, Y up, one vertex for each place, with normals and 8-bit display-referred colours.

    A texture is looked up at the vertices; its detail between them is lost.
    """
    vertices, faces, place = weld(mesh.vertices, mesh.faces)
    first = first_at(place, len(vertices))
    normals = mesh.normals if mesh.normals is not None else smooth_normals(mesh.vertices, mesh.faces)
    colors = mesh.vertex_colors
    if mesh.texture is not None and mesh.uv is not None:
        colors = sample_texture(mesh.texture, mesh.uv)
    fields = [(name, "<f4") for name in ("x", "y", "z", "nx", "ny", "nz")]
    if colors is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    table = np.empty(len(vertices), dtype=fields)
    columns = [*to_y_up(vertices).cpu().numpy().T, *to_y_up(normals[first]).cpu().numpy().T]
    columns += [] if colors is None else [*to_bytes(colors[first]).T]
    for (name, _), column in zip(fields, columns):
        table[name] = column
    triangles = np.empty(len(faces), dtype=[("count", "u1"), ("corners", "<i4", 3)])
    triangles["count"], triangles["corners"] = 3, faces.cpu().numpy()
    names = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}",
              *(f"property {names[kind]} {name}" for name, kind in fields),
              f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(header).encode() + table.tobytes() + triangles.tobytes()
