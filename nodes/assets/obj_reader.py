"""Wavefront OBJ and its MTL: polygons, colours at the vertices, one base colour or picture a material."""

from __future__ import annotations

import re

import numpy as np

from ..core.errors import DistillError
from .mesh_part import Look, Part, Source, check_count
from .picture_file import read_picture
from .polygon import triangulate

# Options of a map in MTL, and how many words follow; -o, -s and -t take one to three numbers.
_OPTIONS = {
    "-blendu": 1,
    "-blendv": 1,
    "-boost": 1,
    "-mm": 2,
    "-texres": 1,
    "-clamp": 1,
    "-bm": 1,
    "-imfchan": 1,
    "-type": 1,
    "-cc": 1,
    "-o": 3,
    "-s": 3,
    "-t": 3,
}


def read_obj(source: Source) -> list[Part]:
    """One part a material. Indices count from 1, or backwards from the last vertex before the face. Colours behind
    positions are display-referred, in [0,1] or up to 255. Raises DistillError for faces that name what is not there."""
    lines = _lines(source.data)
    rows: dict[str, list[str]] = {"v": [], "vt": [], "vn": []}
    faces, before, libraries, material, materials = [], [], [], "", []
    for line in lines:
        word, _, rest = line.partition(" ")
        if word in rows:
            rows[word].append(rest)
        elif word == "f":
            faces.append(rest)
            before.append((len(rows["v"]), len(rows["vt"]), len(rows["vn"])))
            materials.append(material)
        elif word == "usemtl":
            material = rest.strip()
        elif word == "mtllib":
            libraries.append(rest.strip())
    check_count("vertices", len(rows["v"]))
    check_count("faces", len(faces))
    if not faces:
        return []
    positions, colors = _positions(rows["v"])
    uv, normals = _table(rows["vt"], 2, "vt"), _table(rows["vn"], 3, "vn")
    corners, counts = _corners(faces, np.array(before), (len(positions), len(uv), len(normals)))
    looks = _looks(libraries, source)
    if not any(materials) and len(looks) == 1:  # nothing chooses, and there is one alone
        looks[""] = next(iter(looks.values()))
    absent = sorted(set(materials) - set(looks) - {""})
    if absent and looks:
        source.warn(
            f'The material "{absent[0][:100]}" is not in the .mtl file ({len(absent)} like it): those faces stay '
            "without."
        )
    kinds, kind = np.unique(np.array(materials), return_inverse=True)
    ends = np.cumsum(counts)
    parts = []
    for number, name in enumerate(kinds):
        found = []
        for size in np.unique(counts[kind == number]):
            chosen = np.flatnonzero((kind == number) & (counts == size))
            rings = corners[(ends[chosen] - size)[:, None] + np.arange(size)]  # [P,N,3]
            order = triangulate(positions, rings[..., 0])
            triangles = rings[np.arange(len(rings))[:, None, None], order]
            found.append((np.repeat(chosen, size - 2), triangles.reshape(-1, 3, 3)))
        order = np.argsort(np.concatenate([one[0] for one in found]), kind="stable")
        parts.append(
            _part(
                np.concatenate([one[1] for one in found])[order],
                positions,
                colors,
                uv,
                normals,
                looks.get(str(name), (Look(), None)),
            )
        )
    return parts


def _lines(data: bytes) -> list[str]:
    text = data.decode("utf-8-sig", "replace").replace("\\\r\n", " ").replace("\\\n", " ").replace("\t", " ")
    return [line.strip() for line in text.splitlines()]


def _positions(rows: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """[V,3], and display-referred colours [V,3] where every vertex has one."""
    words = [row.split() for row in rows]
    try:
        positions = np.array([row[:3] for row in words], np.float64).reshape(-1, 3)
        if not words or any(len(row) < 6 for row in words):
            return positions, None
        colors = np.array([row[3:6] for row in words], np.float64)
    except ValueError as error:
        raise DistillError(f'a line that begins with "v" is damaged ({str(error)[:80]}).') from None
    return positions, (colors / 255 if colors.max() > 1 else colors).clip(0, 1)


def _table(rows: list[str], width: int, word: str) -> np.ndarray:
    try:
        return np.array([(*row.split(), "0")[:width] for row in rows], np.float64).reshape(-1, width)
    except ValueError as error:
        raise DistillError(f'a line that begins with "{word}" is damaged ({str(error)[:80]}).') from None


def _corners(faces: list[str], before: np.ndarray, sizes: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Corners of all faces end to end, [C,3] indices of position, texture coordinate and normal (-1: none), and how
    many each face has, [F]."""
    words = [face.split("#")[0].split() for face in faces]
    counts = np.array([len(face) for face in words])
    if counts.min() < 3:
        raise DistillError(f"face {int(counts.argmin()) + 1} has {int(counts.min())} corners; a face needs three.")
    check_count("corners", int(counts.sum()))
    rows = [(corner.split("/") + ["", ""])[:3] for face in words for corner in face]
    try:
        given = np.array([[int(one) if one else 0 for one in row] for row in rows])
    except (ValueError, OverflowError) as error:
        raise DistillError(f'a line that begins with "f" is damaged ({str(error)[:80]}).') from None
    at = np.repeat(before, counts, 0)
    found = np.where(given > 0, given - 1, np.where(given < 0, at + given, -1))
    for column, (what, size) in enumerate(zip(("vertex", "texture coordinate", "normal"), sizes)):
        wrong = (
            (found[:, column] >= size)
            | (found[:, column] < (0 if column == 0 else -1))
            | ((given[:, column] < 0) & (found[:, column] < 0))
        )
        if wrong.any():
            raise DistillError(f"a face names {what} {given[wrong.argmax(), column]}, but there are {size}.")
    return found, counts


def _part(
    triangles: np.ndarray,
    positions: np.ndarray,
    colors: np.ndarray | None,
    uv: np.ndarray,
    normals: np.ndarray,
    material: tuple[Look, np.ndarray | None],
) -> Part:
    """triangles [F,3,3]: indices of position, texture coordinate and normal of every corner."""
    look, transform = material
    keys, faces = np.unique(triangles.reshape(-1, 3), axis=0, return_inverse=True)
    at, at_uv, at_normal = keys.T
    coordinates = None
    if len(uv) and (at_uv >= 0).any():
        coordinates = uv[at_uv.clip(0)]
        if transform is not None:
            coordinates = coordinates * transform[1] + transform[0]
        coordinates = np.stack([coordinates[:, 0], 1 - coordinates[:, 1]], 1)
    linear = None if colors is None else to_linear(colors[at])
    return Part(
        positions[at],
        faces.reshape(-1, 3),
        normals[at_normal.clip(0)] if len(normals) and (at_normal >= 0).all() else None,
        coordinates,
        linear,
        look,
    )


def to_linear(colors: np.ndarray) -> np.ndarray:
    """sRGB's display-referred values as linear ones (IEC 61966-2-1)."""
    return np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)


def _looks(libraries: list[str], source: Source) -> dict[str, tuple[Look, np.ndarray | None]]:
    """Materials by name, with the offset and scale [2,2] of the picture's coordinates, where given."""
    found: dict[str, tuple[Look, np.ndarray | None]] = {}
    for name in dict.fromkeys(libraries):
        path = source.beside(name)
        if path is None:
            source.warn(
                f'The material file "{name[:100]}" '
                + ("comes without its folder" if source.folder is None else "is missing beside the .obj")
                + ": the mesh stays without its colours."
            )
            continue
        look = None
        for line in _lines(path.read_bytes()):
            word, _, rest = line.partition(" ")
            rest, word = rest.strip(), word.lower()
            if word == "newmtl":
                look = Look()
                found[rest] = (look, None)
            elif look is None:
                continue
            elif word == "kd" and look.picture is None:
                numbers = re.findall(r"[-+.\deE]+", rest)[:3]
                if len(numbers) == 3:
                    look.factor = np.append(to_linear(np.array(numbers, float).clip(0, 1)), 1.0)
            elif word == "map_kd":
                _set_picture(found, list(found)[-1], rest, source)
            elif word == "map_d":
                source.warn(f'The transparency of a material (map_d "{rest[:100]}") is not read: it is opaque.')
    return found


def _set_picture(found: dict, name: str, text: str, source: Source) -> None:
    """map_Kd with its options. The picture is the base colour, Kd no longer counts: programs differ there, and files
    that programs write say 0.8 or 0 beside pictures that are complete."""
    look, words, transform = found[name][0], text.split(" "), np.array([[0.0, 0.0], [1.0, 1.0]])
    file = text
    while words and words[0].lower() in _OPTIONS:
        option = words.pop(0).lower()
        given = []
        while (
            words
            and len(given) < _OPTIONS[option]
            and (option not in ("-o", "-s", "-t") or re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", words[0]))
        ):
            given.append(words.pop(0))
        if option in ("-o", "-s") and given:
            values = [float(one) for one in given[:2]]
            transform["-o -s".split().index(option), : len(values)] = values
        if option == "-clamp" and given[:1] == ["on"]:
            look.wrap = ("edge", "edge")
        file = " ".join(words)
    path = source.beside(file.strip().strip('"'))
    if path is None:
        where = "comes without its folder" if source.folder is None else "is missing beside the .obj"
        source.warn(
            f'The picture "{file.strip()[:100]}" of the material "{name[:100]}" {where}: its colour alone is taken.'
        )
        return
    try:
        look.picture = read_picture(path, f'the picture "{path.name}"')
    except DistillError as error:
        if " million are read" in str(error):
            raise
        source.warn(f'The picture "{path.name}" is left out: {error}')
        return
    look.factor = None
    found[name] = (look, transform)
