"""Requirements of the glTF 2.0 specification for a GLB with one mesh, as assertions."""
from __future__ import annotations

import io
import json
import struct

import numpy as np
from PIL import Image

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
NUMBERS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
# 3.7.2.1: which accessors may hold an attribute, type and component type (normalised where it is not a float).
ATTRIBUTES = {"POSITION": ("VEC3", {5126}), "NORMAL": ("VEC3", {5126}), "TANGENT": ("VEC4", {5126}),
              "TEXCOORD_0": ("VEC2", {5126, 5121, 5123}), "COLOR_0": ("VEC4", {5126, 5121, 5123})}


class Glb:
    """tree: the JSON; attributes, indices: numpy arrays of the one primitive; pictures: PIL's, by the material's
    word."""

    def __init__(self, data: bytes):
        self.tree, self.buffer = container(data)
        self._check_references()
        views = self.tree["bufferViews"]
        for view in views:
            assert view["buffer"] == 0 and view["byteLength"] >= 1
            assert 0 <= view.get("byteOffset", 0) <= len(self.buffer) - view["byteLength"]
        self.values = [self._values(accessor) for accessor in self.tree["accessors"]]
        (mesh,) = self.tree["meshes"]
        (primitive,) = mesh["primitives"]
        assert primitive.get("mode", 4) == 4
        self.attributes = {name: self.values[index] for name, index in primitive["attributes"].items()}
        self._check_attributes(primitive["attributes"])
        self.indices = self._check_indices(self.tree["accessors"][primitive["indices"]],
                                           self.values[primitive["indices"]])
        self.material = self.tree["materials"][primitive["material"]]
        self.pictures = self._pictures()

    def _check_references(self):
        tree = self.tree
        assert tree["asset"]["version"] == "2.0"
        assert tree["buffers"] == [{"byteLength": len(self.buffer)}]
        assert set(tree.get("extensionsRequired", [])) <= set(tree.get("extensionsUsed", []))
        assert all(0 <= node < len(tree["nodes"]) for scene in tree["scenes"] for node in scene["nodes"])
        assert 0 <= tree.get("scene", 0) < len(tree["scenes"])
        children = [child for node in tree["nodes"] for child in node.get("children", [])]
        assert len(set(children)) == len(children) and all(0 <= child < len(tree["nodes"]) for child in children)
        assert [node["mesh"] for node in tree["nodes"] if "mesh" in node] == [0]

    def _values(self, accessor):
        view = self.tree["bufferViews"][accessor["bufferView"]]
        kind = np.dtype(NUMBERS[accessor["componentType"]])
        width = WIDTHS[accessor["type"]]
        offset = accessor.get("byteOffset", 0)
        assert offset % kind.itemsize == 0 and (view.get("byteOffset", 0) + offset) % kind.itemsize == 0
        assert accessor["count"] >= 1 and "byteStride" not in view
        assert offset + accessor["count"] * width * kind.itemsize <= view["byteLength"]
        found = np.frombuffer(self.buffer, kind, accessor["count"] * width, view.get("byteOffset", 0) + offset)
        found = found.reshape(-1, width)
        assert np.isfinite(found).all()
        for name, extreme in (("min", found.min(0)), ("max", found.max(0))):
            assert name not in accessor or accessor[name] == extreme.tolist(), name
        assert kind.kind == "f" or not accessor.get("normalized") or kind.itemsize < 4
        return found

    def _check_attributes(self, indices):
        assert "POSITION" in self.attributes and len({len(values) for values in self.attributes.values()}) == 1
        for name, index in indices.items():
            accessor = self.tree["accessors"][index]
            kind, components = ATTRIBUTES[name]
            assert accessor["type"] == kind and accessor["componentType"] in components, name
            assert accessor["componentType"] == 5126 or accessor["normalized"] is True, name
            # 3.6.2.4: rows of vertex attributes begin at multiples of four bytes.
            assert self.values[index].dtype.itemsize * self.values[index].shape[1] % 4 == 0, name
        assert {"min", "max"} <= set(self.tree["accessors"][indices["POSITION"]])
        for name in set(self.attributes) & {"NORMAL", "TANGENT"}:
            assert np.abs(np.linalg.norm(self.attributes[name][:, :3], axis=1) - 1).max() < 1e-4, name
        if "TANGENT" in self.attributes:
            assert set(np.unique(self.attributes["TANGENT"][:, 3])) <= {-1.0, 1.0}

    def _check_indices(self, accessor, values):
        assert accessor["type"] == "SCALAR" and accessor["componentType"] in (5121, 5123, 5125)
        assert accessor["count"] % 3 == 0 and values.max() < len(self.attributes["POSITION"])
        assert values.max() < np.iinfo(values.dtype).max                          # the primitive restart value
        return values.reshape(-1, 3)

    def _pictures(self):
        pbr, found = self.material.get("pbrMetallicRoughness", {}), {}
        assert all(0 <= pbr.get(name, 1) <= 1 for name in ("metallicFactor", "roughnessFactor"))
        assert all(0 <= value <= 1 for value in pbr.get("baseColorFactor", []))
        for name, place in {**pbr, **self.material}.items():
            if not name.endswith("Texture"):
                continue
            assert f"TEXCOORD_{place.get('texCoord', 0)}" in self.attributes, name
            texture = self.tree["textures"][place["index"]]
            sampler = self.tree["samplers"][texture["sampler"]] if "sampler" in texture else {}
            assert {sampler.get(wrap, 10497) for wrap in ("wrapS", "wrapT")} <= {33071, 33648, 10497}
            assert sampler.get("magFilter", 9729) in (9728, 9729)
            assert sampler.get("minFilter", 9729) in (9728, 9729, 9984, 9985, 9986, 9987)
            image = self.tree["images"][texture["source"]]
            assert image["mimeType"] in ("image/png", "image/jpeg") and "uri" not in image
            view = self.tree["bufferViews"][image["bufferView"]]
            data = self.buffer[view["byteOffset"]:view["byteOffset"] + view["byteLength"]]
            with Image.open(io.BytesIO(data)) as picture:
                assert f"image/{picture.format.lower()}" == image["mimeType"]
                found[name] = picture.copy()
        return found


def container(data: bytes) -> tuple[dict, bytes]:
    """The JSON and the buffer of a GLB, section 4.4."""
    magic, version, length, size, kind = struct.unpack("<4sIII4s", data[:20])
    assert (magic, version, length, kind) == (b"glTF", 2, len(data), b"JSON") and size % 4 == 0
    tree = json.loads(data[20:20 + size])
    held, kind = struct.unpack("<I4s", data[20 + size:28 + size])
    assert kind == b"BIN\0" and held % 4 == 0 and 28 + size + held == length
    return tree, data[28 + size:]
