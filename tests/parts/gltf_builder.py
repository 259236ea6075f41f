"""Small GLB files of any content, written by hand."""

from __future__ import annotations

import json
import struct
from io import BytesIO

import numpy as np
from PIL import Image

KINDS = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "uint32": 5125, "float32": 5126}
SHAPES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
TRIANGLE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
QUAD = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)


class GltfBuilder:
    """tree: the JSON, to be changed at will before `glb`."""

    def __init__(self):
        self.data = b""
        self.tree = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"mesh": 0}],
            "meshes": [],
            "accessors": [],
            "bufferViews": [],
        }

    def view(self, data: bytes) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        self.tree["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += data
        return len(self.tree["bufferViews"]) - 1

    def accessor(self, values, normalized: bool = False, **more) -> int:
        values = np.asarray(values)
        width = 1 if values.ndim == 1 else values.shape[1]
        entry = {
            "bufferView": self.view(values.tobytes()),
            "componentType": KINDS[str(values.dtype)],
            "count": len(values),
            "type": SHAPES[width],
            **({"normalized": True} if normalized else {}),
            **more,
        }
        self.tree["accessors"].append(entry)
        return len(self.tree["accessors"]) - 1

    def mesh(self, attributes: dict, indices=None, **primitive) -> int:
        """attributes: arrays, or (array, True) for normalised ones, or numbers of accessors."""
        columns = {
            name: value
            if isinstance(value, int)
            else self.accessor(*value)
            if isinstance(value, tuple)
            else self.accessor(value)
            for name, value in attributes.items()
        }
        if indices is not None:
            primitive["indices"] = self.accessor(np.array(indices, np.uint16))
        self.tree["meshes"].append({"primitives": [{"attributes": columns, **primitive}]})
        return len(self.tree["meshes"]) - 1

    def picture(self, pixels, **texture) -> dict:
        """A material whose base colour is a picture [H,W,3 or 4]; `texture`: of its textureInfo."""
        data = BytesIO()
        Image.fromarray(np.asarray(pixels)).save(data, "png")
        self.tree.setdefault("images", []).append({"bufferView": self.view(data.getvalue()), "mimeType": "image/png"})
        self.tree.setdefault("textures", []).append({"source": len(self.tree["images"]) - 1})
        return {"pbrMetallicRoughness": {"baseColorTexture": {"index": len(self.tree["textures"]) - 1, **texture}}}

    def glb(self) -> bytes:
        tree = {**self.tree, "buffers": [{"byteLength": len(self.data)}]}
        text = json.dumps(tree).encode()
        text += b" " * (-len(text) % 4)
        data = self.data + b"\0" * (-len(self.data) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def png(pixels) -> bytes:
    data = BytesIO()
    Image.fromarray(np.asarray(pixels)).save(data, "png")
    return data.getvalue()
