"""GLB: binary glTF 2.0, everything embedded in one file."""
from __future__ import annotations

import json
import struct

import numpy as np
from torch import Tensor

from ...kernels.image.color import srgb_to_linear
from ..core.mesh import Mesh, smooth_normals
from .core_mesh import to_y_up
from .png import png_bytes

FLOAT, UNSIGNED_INT = 5126, 5125
VERTEX_DATA, INDICES = 34962, 34963
LINEAR, LINEAR_MIPMAP_LINEAR, CLAMP_TO_EDGE = 9729, 9987, 33071


def glb_bytes(mesh: Mesh) -> bytes:
    """The mesh as a GLB file.

    Y up; normals always (computed where the mesh has none); an opaque material with metallic 0 and roughness 1 whose
    base colour is the embedded sRGB texture, else the vertex colours (linear, as glTF defines COLOR_0), else grey.
    Equal meshes give equal bytes. Raises MissingPackage when there is a texture and Pillow is not installed.
    """
    file = _File()
    normals = mesh.normals if mesh.normals is not None else smooth_normals(mesh.vertices, mesh.faces)
    attributes = {"POSITION": file.vertices(to_y_up(mesh.vertices), bounds=True),
                  "NORMAL": file.vertices(to_y_up(normals))}
    surface: dict = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    if mesh.uv is not None:
        attributes["TEXCOORD_0"] = file.vertices(mesh.uv)
    if mesh.texture is not None and mesh.uv is not None:
        surface["baseColorTexture"] = {"index": 0}
        image = file.view(png_bytes(mesh.texture))
        file.tree |= {"images": [{"name": "base_color", "mimeType": "image/png", "bufferView": image}],
                      "samplers": [{"magFilter": LINEAR, "minFilter": LINEAR_MIPMAP_LINEAR,
                                    "wrapS": CLAMP_TO_EDGE, "wrapT": CLAMP_TO_EDGE}],
                      "textures": [{"source": 0, "sampler": 0}]}
    elif mesh.vertex_colors is not None:
        attributes["COLOR_0"] = file.vertices(srgb_to_linear(mesh.vertex_colors).clamp(0, 1))
    else:
        surface["baseColorFactor"] = [0.5, 0.5, 0.5, 1.0]
    indices = file.indices(mesh.faces)
    file.tree |= {"materials": [{"name": "surface", "alphaMode": "OPAQUE", "doubleSided": True,
                                 "pbrMetallicRoughness": surface}],
                  "meshes": [{"name": "mesh", "primitives": [{"attributes": attributes, "indices": indices,
                                                              "material": 0, "mode": 4}]}],
                  "nodes": [{"name": "mesh", "mesh": 0}], "scenes": [{"nodes": [0]}], "scene": 0}
    return file.bytes()


class _File:
    """A glTF tree and its one buffer, which grows by aligned views."""

    def __init__(self):
        self.tree: dict = {"asset": {"version": "2.0", "generator": "Distill3D"}, "accessors": [], "bufferViews": []}
        self.data = bytearray()

    def view(self, data: bytes, target: int | None = None) -> int:
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.tree["bufferViews"].append(view if target is None else {**view, "target": target})
        self.data += data + bytes(-len(data) % 4)
        return len(self.tree["bufferViews"]) - 1

    def vertices(self, values: Tensor, bounds: bool = False) -> int:
        """Accessor of one float attribute [V,C]; the format wants to know the bounds of positions."""
        array = np.ascontiguousarray(values.detach().cpu().numpy(), dtype="<f4")
        extremes = {"min": array.min(0).tolist(), "max": array.max(0).tolist()} if bounds else {}
        return self._accessor(array.tobytes(), VERTEX_DATA, {
            "componentType": FLOAT, "type": f"VEC{array.shape[1]}", "count": len(array), **extremes})

    def indices(self, faces: Tensor) -> int:
        array = np.ascontiguousarray(faces.detach().cpu().numpy(), dtype="<u4")
        return self._accessor(array.tobytes(), INDICES, {
            "componentType": UNSIGNED_INT, "type": "SCALAR", "count": array.size})

    def _accessor(self, data: bytes, target: int, facts: dict) -> int:
        self.tree["accessors"].append({"bufferView": self.view(data, target), **facts})
        return len(self.tree["accessors"]) - 1

    def bytes(self) -> bytes:
        tree = json.dumps({**self.tree, "buffers": [{"byteLength": len(self.data)}]}, separators=(",", ":")).encode()
        tree += b" " * (-len(tree) % 4)
        length = 12 + 8 + len(tree) + 8 + len(self.data)
        return (struct.pack("<4sII", b"glTF", 2, length) + struct.pack("<I4s", len(tree), b"JSON") + tree
                + struct.pack("<I4s", len(self.data), b"BIN\0") + bytes(self.data))
