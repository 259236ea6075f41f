"""GLB and glTF: the parts of a scene where its nodes place them (Khronos, glTF 2.0 Specification)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import DistillError
from .gltf_file import GltfFile, draco, unit
from .mesh_part import Look, Part, Source, check_count

MAX_NODES = 100_000
_WRAPS = {10497: "repeat", 33648: "mirror", 33071: "edge"}


def read_gltf(source: Source) -> list[Part]:
    """Every triangle of the default scene (of all roots where there is none), in world space.

    Read are strips and fans, sparse and quantised accessors, Draco (with DracoPy), morph targets at their default
    weights, skins in the pose of the file, instances (EXT_mesh_gpu_instancing) and texture transforms.
    """
    file = GltfFile(source)
    worlds = _worlds(file)
    parts, corners = [], 0
    for index, world in worlds.items():
        node = file.item("nodes", index)
        if "mesh" not in node:
            continue
        mesh = file.item("meshes", node["mesh"])
        for primitive in mesh.get("primitives", []):
            part = _primitive(file, primitive, node.get("weights") or mesh.get("weights"))
            if part is None:
                continue
            if "skin" in node and "JOINTS_0" in primitive["attributes"]:
                placed = [_skinned(file, part, primitive, node["skin"], worlds)]
            else:
                places = _instances(file, node)
                check_count(
                    "corners with its instances", corners + len(places) * (len(part.vertices) + 3 * len(part.faces))
                )
                placed = [_moved(part, world @ place) for place in places]
            corners = check_count("corners", corners + sum(len(one.vertices) + 3 * len(one.faces) for one in placed))
            parts += placed
    return parts


def _worlds(file: GltfFile) -> dict[int, np.ndarray]:
    """The matrix [4,4] of every node of the scene, by index, in the order of the file."""
    nodes = file.tree.get("nodes", [])
    if len(nodes) > MAX_NODES:
        raise DistillError(f"it has {len(nodes)} nodes; at most {MAX_NODES} are read. Join its parts.")
    if not nodes:
        raise DistillError(
            "it has no nodes, so nothing in it is placed in a scene. Export it again from the program that made it."
        )
    if file.tree.get("scenes"):
        roots = file.item("scenes", file.tree.get("scene", 0)).get("nodes", [])
    else:
        below = {child for node in nodes for child in node.get("children", [])}
        roots = [index for index in range(len(nodes)) if index not in below]
    found: dict[int, np.ndarray] = {}
    waiting = [(index, np.eye(4)) for index in reversed(roots)]
    while waiting:
        index, above = waiting.pop()
        node = file.item("nodes", index)
        if index in found:
            raise DistillError(f"its node {index} has two parents or is its own.")
        found[index] = above @ _local(node)
        waiting += [(child, found[index]) for child in reversed(node.get("children", []))]
    return found


def _local(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    return _trs(
        *(
            np.array(node.get(name, other), float)[None]
            for name, other in (("translation", (0, 0, 0)), ("rotation", (0, 0, 0, 1)), ("scale", (1, 1, 1)))
        )
    )[0]


def _trs(translation: np.ndarray, rotation: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Matrices [N,4,4]; rotations xyzw."""
    x, y, z, w = (rotation / np.maximum(np.linalg.norm(rotation, axis=1, keepdims=True), 1e-30)).T
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    ).transpose(2, 0, 1)
    found = np.tile(np.eye(4), (len(turn), 1, 1))
    found[:, :3, :3], found[:, :3, 3] = turn * scale[:, None], translation
    return found


def _instances(file: GltfFile, node: dict[str, Any]) -> np.ndarray:
    """Matrices [N,4,4] below the node's own."""
    given = node.get("extensions", {}).get("EXT_mesh_gpu_instancing", {}).get("attributes", {})
    columns = {name: file.numbers(given[name]) for name in ("TRANSLATION", "ROTATION", "SCALE") if name in given}
    if not columns:
        return np.eye(4)[None]
    count = min(map(len, columns.values()))
    if count > MAX_NODES:
        raise DistillError(f"it has {count} instances of a mesh; at most {MAX_NODES} are read.")
    return _trs(
        *(
            columns.get(name, np.tile(np.array(other, float), (count, 1)))[:count]
            for name, other in (("TRANSLATION", (0, 0, 0)), ("ROTATION", (0, 0, 0, 1)), ("SCALE", (1, 1, 1)))
        )
    )


def _moved(part: Part, place: np.ndarray) -> Part:
    """The part under a matrix. One that mirrors turns the triangles round; one that flattens still turns normals right.
    """
    linear = place[:3, :3]
    vertices = part.vertices @ linear.T + place[:3, 3]
    mirrors = np.linalg.det(linear) < 0
    normals = part.normals
    if normals is not None:  # cofactors: the inverse transpose times the determinant, which may be 0
        cofactors = np.stack(
            [np.cross(linear[1], linear[2]), np.cross(linear[2], linear[0]), np.cross(linear[0], linear[1])]
        )
        normals = normals @ cofactors.T * (-1 if mirrors else 1)
    return Part(vertices, part.faces[:, ::-1] if mirrors else part.faces, normals, part.uv, part.colors, part.look)


def _skinned(file: GltfFile, part: Part, primitive: dict[str, Any], index: int, worlds: dict[int, np.ndarray]) -> Part:
    """Linear blend skinning in the pose of the file (section 3.7.3.3); the node's own matrix does not count then."""
    skin = file.item("skins", index)
    joints = skin["joints"]
    inverse = np.tile(np.eye(4), (len(joints), 1, 1))
    if "inverseBindMatrices" in skin:
        inverse = file.numbers(skin["inverseBindMatrices"])[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1)
    matrices = np.stack([worlds.get(joint, np.eye(4)) for joint in joints]) @ inverse
    places = np.zeros((len(part.vertices), 4, 4))
    total = np.zeros(len(part.vertices))
    number = 0
    while f"JOINTS_{number}" in primitive["attributes"]:
        named = file.accessor(primitive["attributes"][f"JOINTS_{number}"]).astype(np.int64)
        weights = file.numbers(primitive["attributes"][f"WEIGHTS_{number}"])
        for corner in range(4):
            places += weights[:, corner, None, None] * matrices[named[:, corner]]
            total += weights[:, corner]
        number += 1
    places /= np.where(total > 0, total, 1)[:, None, None]
    places[total <= 0] = np.eye(4)
    vertices = np.einsum("vij,vj->vi", places[:, :3, :3], part.vertices) + places[:, :3, 3]
    normals = None if part.normals is None else np.einsum("vij,vj->vi", places[:, :3, :3], part.normals)
    return Part(vertices, part.faces, normals, part.uv, part.colors, part.look)


def _primitive(file: GltfFile, primitive: dict[str, Any], weights: Any) -> Part | None:
    """One primitive in its own space; None for points and lines."""
    mode = primitive.get("mode", 4)
    if mode not in (4, 5, 6):
        return None
    names = primitive["attributes"]
    packed = primitive.get("extensions", {}).get("KHR_draco_mesh_compression")
    stored, faces = {}, None
    if packed:
        stored, faces = draco(file.view(packed["bufferView"])[0], packed["attributes"])
    columns = {}
    for name, accessor in names.items():
        if name in stored:
            columns[name] = (
                unit(stored[name]) if file.item("accessors", accessor).get("normalized") else stored[name].astype(float)
            )
        elif name in ("POSITION", "NORMAL", "COLOR_0") or name.startswith("TEXCOORD_"):
            columns[name] = file.numbers(accessor)
    vertices = columns["POSITION"]
    for weight, target in zip(weights or (), primitive.get("targets", ())):
        if weight and "POSITION" in target:
            vertices = vertices + float(weight) * file.numbers(target["POSITION"])
    if faces is None:
        corners = (
            file.accessor(primitive["indices"])[:, 0].astype(np.int64)
            if "indices" in primitive
            else np.arange(len(vertices))
        )
        faces = _triangles(corners, mode)
    if len(faces) and not 0 <= faces.min() <= faces.max() < len(vertices):
        raise DistillError(f"its faces name vertex {faces.max()}, but there are {len(vertices)}.")
    for name, width in (("POSITION", 3), ("NORMAL", 3)):
        if name in columns and columns[name].shape[1:] != (width,):
            raise DistillError(f"its {name} has {columns[name].shape[-1]} numbers a vertex, not {width}.")
    if any(len(column) != len(vertices) for column in columns.values()):
        raise DistillError("its attributes have different numbers of vertices.")
    look, uv_name, transform = _look(file, primitive.get("material"))
    uv = columns.get(uv_name)
    if uv is not None:
        uv = uv[:, :2] @ transform[:, :2].T + transform[:, 2]
    colors = columns.get("COLOR_0")
    return Part(vertices, faces, columns.get("NORMAL"), uv, None if colors is None else colors[:, :3].clip(0, 1), look)


def _triangles(corners: np.ndarray, mode: int) -> np.ndarray:
    if mode == 4:
        return corners[: len(corners) // 3 * 3].reshape(-1, 3)
    count = max(len(corners) - 2, 0)
    first = np.arange(count)
    if mode == 6:
        return np.stack([corners[first + 1], corners[first + 2], np.repeat(corners[:1], count)], 1)
    odd = first % 2
    return np.stack([corners[first], corners[first + 1 + odd], corners[first + 2 - odd]], 1)


def _look(file: GltfFile, index: Any) -> tuple[Look, str, np.ndarray]:
    """A material, the attribute with its texture coordinates and their transform [2,3]."""
    still = np.eye(3)[:2]
    if index is None:
        return Look(), "", still
    material = file.item("materials", index)
    pbr, place_name = material.get("pbrMetallicRoughness", {}), "baseColorTexture"
    glossy = material.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
    if glossy and place_name not in pbr:
        pbr, place_name = {"baseColorFactor": glossy.get("diffuseFactor", (1, 1, 1, 1)), **glossy}, "diffuseTexture"
    factor = np.array(pbr["baseColorFactor"], float).reshape(4).clip(0, 1) if "baseColorFactor" in pbr else None
    alpha = material.get("alphaMode", "OPAQUE")
    look = Look(
        None,
        factor,
        alpha=alpha if alpha in ("MASK", "BLEND") else "OPAQUE",
        cutoff=float(material.get("alphaCutoff", 0.5)),
    )
    place = pbr.get(place_name)
    if not place:
        return look, "", still
    texture = file.item("textures", place["index"])
    extensions = texture.get("extensions", {})
    image = next(
        (extensions[name]["source"] for name in ("EXT_texture_webp", "EXT_texture_avif") if name in extensions),
        texture.get("source", extensions.get("KHR_texture_basisu", {}).get("source")),
    )
    look.picture = None if image is None else file.picture(image)
    sampler = file.item("samplers", texture["sampler"]) if "sampler" in texture else {}
    look.wrap = tuple(_WRAPS.get(sampler.get(name), "repeat") for name in ("wrapS", "wrapT"))
    moved = place.get("extensions", {}).get("KHR_texture_transform", {})
    return look, f"TEXCOORD_{moved.get('texCoord', place.get('texCoord', 0))}", _transform(moved)


def _transform(moved: dict[str, Any]) -> np.ndarray:
    """KHR_texture_transform: translation, rotation and scale in one, [2,3]."""
    (u, v), (width, height) = moved.get("offset", (0, 0)), moved.get("scale", (1, 1))
    sine, cosine = np.sin(float(moved.get("rotation", 0))), np.cos(float(moved.get("rotation", 0)))
    return np.array([[cosine * width, sine * height, u], [-sine * width, cosine * height, v]], float)
