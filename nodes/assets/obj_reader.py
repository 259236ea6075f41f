"""Wavefront OBJ and its MTL: polygons, colours at the vertices, one base colour or picture a material."""

from __future__ import annotations

import re
from pathlib import Path

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
    names, kind = np.unique(np.array(materials), return_inverse=True)
    plain = (Look(), None)
    chosen = [looks.get(str(name), plain) for name in names]
    tints = None
    if any(look.factor is not None for look, _ in chosen):  # colours of materials become colours of corners
        tints = np.array([np.ones(3) if look.factor is None else look.factor[:3] for look, _ in chosen])[kind]
    # A part for each picture and its place: materials without one are a single part.
    keys = [() if look.picture is None else (id(look.picture), look.wrap, None if moved is None else moved.tobytes())
            for look, moved in chosen]
    groups = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    material = {groups[key]: one for key, one in zip(keys, chosen)}
    group = np.array([groups[key] for key in keys])[kind]
    triangles, owner = _triangulated(positions, corners, counts)
    return [_part(triangles[group[owner] == number], None if tints is None else tints[owner[group[owner] == number]],
                  positions, colors, uv, normals, material[number]) for number in groups.values()]


def _triangulated(positions: np.ndarray, corners: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [T,3,3] of corners [C,3], and the face that each belongs to, in the order of the file."""
    starts = np.cumsum(counts) - counts
    triangles, owners = [], []
    for size in np.unique(counts):
        chosen = np.flatnonzero(counts == size)
        rings = corners[starts[chosen][:, None] + np.arange(size)]  # [P,N,3]
        order = triangulate(positions, rings[..., 0])
        triangles.append(rings[np.arange(len(rings))[:, None, None], order].reshape(-1, 3, 3))
        owners.append(np.repeat(chosen, size - 2))
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return np.concatenate(triangles)[order], owner[order]


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
    words = [face.partition("#")[0].split() for face in faces]
    counts = np.array([len(face) for face in words])
    if counts.min() < 3:
        raise DistillError(f"face {int(counts.argmin()) + 1} has {int(counts.min())} corners; a face needs three.")
    check_count("corners", int(counts.sum()))
    rows = [corner for face in words for corner in face]
    try:
        slashes = {corner.count("/") for corner in rows}
        if len(slashes) == 1 and max(slashes) <= 2:  # all alike: numbers in columns
            text = " ".join(rows).replace("//", "/0/").replace("/ ", "/0 ").replace("/", " ")
            table = np.array((text + " 0" if text.endswith(" ") else text).split(), np.int64).reshape(len(rows), -1)
            given = np.pad(table, ((0, 0), (0, 3 - table.shape[1])))
        else:
            given = np.array([[int(one or 0) for one in (row.split("/") + ["", ""])[:3]] for row in rows])
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
    tints: np.ndarray | None,
    positions: np.ndarray,
    colors: np.ndarray | None,
    uv: np.ndarray,
    normals: np.ndarray,
    material: tuple[Look, np.ndarray | None],
) -> Part:
    """triangles [F,3,3]: indices of position, texture coordinate and normal of every corner; tints [F,3]: linear."""
    look, transform = material
    flat = triangles.reshape(-1, 3)
    key = (flat[:, 0] * (len(uv) + 1) + flat[:, 1] + 1) * (len(normals) + 1) + flat[:, 2] + 1
    if tints is not None:
        shades, shade = np.unique(tints, axis=0, return_inverse=True)
        key = key * len(shades) + np.repeat(shade.reshape(-1), 3)
    _, first, faces = np.unique(key, return_index=True, return_inverse=True)
    at, at_uv, at_normal = flat[first].T
    coordinates = None
    if len(uv) and (at_uv >= 0).any():
        coordinates = uv[at_uv.clip(0)]
        if transform is not None:
            coordinates = coordinates * transform[1] + transform[0]
        coordinates = np.stack([coordinates[:, 0], 1 - coordinates[:, 1]], 1)
    linear = None if colors is None else to_linear(colors[at])
    if tints is not None and look.picture is None:
        linear = tints[first // 3] if linear is None else linear * tints[first // 3]
        look = Look()
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
    pictures: dict[Path, np.ndarray] = {}
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
                look, newest = Look(), rest
                found[newest] = (look, None)
            elif look is None:
                continue
            elif word == "kd" and look.picture is None:
                numbers = re.findall(r"[-+.\deE]+", rest)[:3]
                if len(numbers) == 3:
                    look.factor = np.append(to_linear(np.array(numbers, float).clip(0, 1)), 1.0)
            elif word == "map_kd":
                _set_picture(found, newest, rest, source, pictures)
            elif word == "map_d":
                source.warn(f'The transparency of a material (map_d "{rest[:100]}") is not read: it is opaque.')
    return found


def _set_picture(found: dict, name: str, text: str, source: Source, pictures: dict[Path, np.ndarray]) -> None:
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
        if path not in pictures:
            pictures[path] = read_picture(path, f'the picture "{path.name}"')
        look.picture = pictures[path]
    except DistillError as error:
        if " million are read" in str(error):
            raise
        source.warn(f'The picture "{path.name}" is left out: {error}')
        return
    look.factor = None
    found[name] = (look, transform)
