"""Wavefront OBJ with its MTL and PNG."""
from __future__ import annotations

import numpy as np

from ..core.mesh import Mesh, first_at, smooth_normals, weld
from .core_mesh import to_y_up
from .png import png_bytes


def obj_files(mesh: Mesh, stem: str) -> dict[str, bytes]:
    """The mesh as Wavefront OBJ, Y up: {file name: content}, the .obj last; with a texture also .mtl and .png.

    Positions and normals are written once for each place, texture coordinates (v upwards, as the format counts) apart
    from them, so that UV seams tear nothing. Vertex colours follow the positions where there is no texture, the
    extension that most programs read. Raises MissingPackage when there is a texture and Pillow is not installed.
    """
    vertices, faces, place = weld(mesh.vertices, mesh.faces)
    first = first_at(place, len(vertices))
    textured = mesh.texture is not None and mesh.uv is not None
    rows = [to_y_up(vertices)]
    if mesh.vertex_colors is not None and not textured:
        rows.append(mesh.vertex_colors[first])
    normals = mesh.normals if mesh.normals is not None else smooth_normals(mesh.vertices, mesh.faces)
    corners = [faces, faces] if mesh.uv is None else [faces, mesh.faces, faces]
    text = [f"mtllib {stem}.mtl\nusemtl surface\n" if textured else "",
            _lines("v", np.concatenate([row.cpu().numpy() for row in rows], 1)),
            "" if mesh.uv is None else _lines("vt", np.stack([mesh.uv[:, 0].cpu(), 1 - mesh.uv[:, 1].cpu()], 1)),
            _lines("vn", to_y_up(normals[first]).cpu().numpy()), _faces(corners)]
    files = {}
    if textured:
        files[f"{stem}.png"] = png_bytes(mesh.texture)
        files[f"{stem}.mtl"] = (f"newmtl surface\nKa 0 0 0\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {stem}.png\n").encode()
    return {**files, f"{stem}.obj": "".join(text).encode()}


def _lines(word: str, values: np.ndarray) -> str:
    pattern = word + " %.7g" * values.shape[1] + "\n"
    return "".join(pattern % tuple(row) for row in values.tolist())


def _faces(corners: list[Tensor]) -> str:
    """Lines "f v/vt/vn ..." (three lists of faces) or "f v//vn ..." (two), counted from 1."""
    pattern = "f" + (" %d/%d/%d" if len(corners) == 3 else " %d//%d") * 3 + "\n"
    table = np.stack([part.cpu().numpy() + 1 for part in corners], -1).reshape(len(corners[0]), -1)
    return "".join(pattern % tuple(row) for row in table.tolist())
