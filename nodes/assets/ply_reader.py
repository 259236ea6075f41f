"""Meshes in PLY files: polygons and strips, colours at vertices or faces, a picture by name."""

from __future__ import annotations

import numpy as np

from ..core.errors import DistillError
from .mesh_part import Look, Part, Source, check_count
from .obj_reader import to_linear
from .picture_file import read_picture
from .ply_table import Lists, Ply, read_table
from .polygon import triangulate


def read_ply_mesh(source: Source) -> list[Part]:
    """No part where the file holds points alone. Colours are display-referred; whole numbers count up to the largest of
    their type. Colours of faces part the vertices. Raises DistillError."""
    ply = read_table(source.data)
    vertex, face = ply.elements.get("vertex", {}), ply.elements.get("face", {})
    if not {"x", "y", "z"} <= set(vertex):
        raise DistillError(
            "it has no vertices with x, y and z."
            + (" It is a compressed Gaussian splat." if "packed_position" in vertex else "")
        )
    vertices = _columns(vertex, "xyz").astype(np.float64)
    faces, owner, corner = _faces(ply, vertices)
    if not len(faces):
        return []
    normals = _columns(vertex, ("nx", "ny", "nz"))
    colors = _colors(vertex)
    uv = next(
        (
            found
            for names in (("texture_u", "texture_v"), ("s", "t"), ("u", "v"))
            if (found := _columns(vertex, names)) is not None
        ),
        None,
    )
    look = Look(_picture(ply, source))
    per_face, per_corner = _colors(face) if face else None, face.get("texcoord") if face else None
    if owner is not None and (per_face is not None and colors is None or isinstance(per_corner, Lists)):
        at = faces.reshape(-1)
        if (
            isinstance(per_corner, Lists)
            and len(per_corner.lengths)
            and (per_corner.lengths == 2 * face_lengths(face)).all()
        ):
            uv = per_corner.values.reshape(-1, 2)[corner.reshape(-1)]
        else:
            uv = None if uv is None else uv[at]
        colors = (
            per_face[np.repeat(owner, 3)]
            if per_face is not None and colors is None
            else None
            if colors is None
            else colors[at]
        )
        vertices, normals = vertices[at], None if normals is None else normals[at]
        if normals is None and per_face is not None:
            normals = _smooth(vertices, faces.reshape(-1), at)
        faces = np.arange(len(at)).reshape(-1, 3)
    if uv is not None:
        uv = np.stack([uv[:, 0], 1 - uv[:, 1]], 1).astype(np.float64)
    return [Part(vertices, faces, normals, uv, None if colors is None else to_linear(colors), look)]


def _smooth(corners: np.ndarray, _: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Area-weighted normals of corners [3F,3] that share the vertex `at` [3F]."""
    triangles = corners.reshape(-1, 3, 3)
    area = np.repeat(np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), 3, 0)
    total = np.zeros((at.max() + 1, 3))
    np.add.at(total, at, area)
    return total[at]


def face_lengths(face: dict) -> np.ndarray:
    return next(face[name] for name in ("vertex_indices", "vertex_index") if name in face).lengths


def _columns(element: dict, names) -> np.ndarray | None:
    if not all(isinstance(element.get(name), np.ndarray) for name in names):
        return None
    return np.stack([element[name] for name in names], 1)


def _colors(element: dict) -> np.ndarray | None:
    """[N,3] in [0,1]."""
    for names in (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue")):
        if all(isinstance(element.get(name), np.ndarray) for name in names):
            columns = [element[name] for name in names]
            return np.stack(
                [
                    one / np.iinfo(one.dtype).max if one.dtype.kind in "ui" else one.astype(np.float64)
                    for one in columns
                ],
                1,
            ).clip(0, 1)
    return None


def _faces(ply: Ply, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Triangles [F,3], the file's face that each comes from [F] and the place of each corner among the file's [F,3]."""
    face = ply.elements.get("face", {})
    lists = next((face[name] for name in ("vertex_indices", "vertex_index") if isinstance(face.get(name), Lists)), None)
    if lists is None:
        strips = ply.elements.get("tristrips", {})
        lists = next((one for one in strips.values() if isinstance(one, Lists)), None)
        return (
            (
                np.zeros((0, 3), np.int64)
                if lists is None
                else _checked(_strips(lists.values.astype(np.int64)), vertices)
            ),
            None,
            None,
        )
    check_count("corners", len(lists.values))
    values, starts = lists.values.astype(np.int64), np.cumsum(lists.lengths) - lists.lengths
    _checked(values, vertices)
    triangles, owners, corners = [], [], []
    for size in np.unique(lists.lengths):
        if size < 3:
            continue
        chosen = np.flatnonzero(lists.lengths == size)
        places = starts[chosen][:, None] + np.arange(size)
        order = triangulate(vertices, values[places])
        at = places[np.arange(len(chosen))[:, None, None], order].reshape(-1, 3)
        triangles.append(values[at]), owners.append(np.repeat(chosen, size - 2)), corners.append(at)
    if not triangles:
        return np.zeros((0, 3), np.int64), None, None
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order], np.concatenate(corners)[order]


def _checked(indices: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    if indices.size and not 0 <= indices.min() <= indices.max() < len(vertices):
        raise DistillError(
            f"its faces name vertices {indices.min()} to {indices.max()}, but there are {len(vertices)}."
        )
    return indices


def _strips(values: np.ndarray) -> np.ndarray:
    """Triangles of strips that end with -1."""
    found = []
    for strip in np.split(values, np.flatnonzero(values < 0)):
        strip = strip[strip >= 0]
        first = np.arange(max(len(strip) - 2, 0))
        odd = first % 2
        found.append(
            np.stack([strip[first], strip[first + 1 + odd], strip[first + 2 - odd]], 1)
            if len(first)
            else np.zeros((0, 3), np.int64)
        )
    return np.concatenate(found)


def _picture(ply: Ply, source: Source) -> np.ndarray | None:
    name = next(
        (comment.partition(" ")[2].strip() for comment in ply.comments if comment.lower().startswith("texturefile ")),
        None,
    )
    if name is None:
        return None
    path = source.beside(name)
    if path is None:
        where = "comes without its folder" if source.folder is None else "is missing beside the .ply"
        source.warn(f'The picture "{name[:100]}" {where}: the mesh stays without its texture.')
        return None
    return read_picture(path, f'the picture "{path.name}"')
