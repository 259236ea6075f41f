"""Writing a mesh as GLB, the binary form of glTF 2.0 (Khronos, glTF 2.0 Specification, sections 3 and 4.4)."""
from __future__ import annotations

import json
import struct
from dataclasses import replace
from io import BytesIO
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.color import srgb_to_linear
from ..core.errors import MissingPackage
from .mesh import Mesh, smooth_normals, to_y_up
from .mesh_wire import turned

GREY = 128 / 255  # linear
# Bilinear, between two mip levels where small, and clamped to the edge, in OpenGL's numbers: without it textures
# repeat, and a chart at the border would take colour from the other side.
SAMPLER = {"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}
_VERTICES, _INDICES = 34962, 34963
_TYPES = {"float32": 5126, "uint16": 5123, "uint32": 5125}


def glb_bytes(mesh: Mesh) -> bytes:
    """The mesh as one GLB file, everything embedded.

    Normals always (computed where the mesh has none, or one without length); a two-sided material whose base colour is
    the texture as PNG, else the vertex colours (16 bit, linear as glTF defines COLOR_0), else grey. It is opaque unless
    the mesh has an opacity. Its metallic and roughness are those of the map, else 0 and 1. A normal map comes with
    tangents, so that no viewer has to guess its axes. Equal meshes give equal bytes. Raises MissingPackage.
    """
    tensors = {name: value for name, value in vars(mesh).items() if isinstance(value, Tensor)}
    mesh = replace(mesh, **{name: value.detach().cpu() for name, value in tensors.items()})
    file = _File()
    has_map = mesh.uv is not None and mesh.normal_map is not None
    normals = _unit(mesh.normals, mesh)
    attributes = {"POSITION": file.attribute(to_y_up(mesh.vertices.float()), with_range=True),
                  "NORMAL": file.attribute(to_y_up(normals))}
    pbr: dict[str, Any] = {"metallicFactor": 0.0, "roughnessFactor": 1.0}
    material = {"name": "surface", "pbrMetallicRoughness": pbr, "alphaMode": "OPAQUE", "doubleSided": True}
    if mesh.uv is not None and (mesh.texture is not None or mesh.metallic_roughness is not None or has_map):
        attributes["TEXCOORD_0"] = file.attribute(mesh.uv.float())
    if mesh.texture is not None and mesh.uv is not None:
        texture = mesh.texture
        if mesh.opacity is not None:
            texture = torch.cat([texture, mesh.opacity[..., None].to(texture)], -1)
            material["alphaMode"] = "BLEND" if mesh.cutoff is None else "MASK"
            material |= {} if mesh.cutoff is None else {"alphaCutoff": mesh.cutoff}
        pbr["baseColorTexture"] = file.texture(texture)
    elif mesh.vertex_colors is not None:
        linear = srgb_to_linear(mesh.vertex_colors.double().clamp(0, 1))
        attributes["COLOR_0"] = file.attribute(_sixteen_bits(linear), normalized=True)
    else:
        pbr["baseColorFactor"] = [GREY, GREY, GREY, 1.0]
    if mesh.uv is not None and mesh.metallic_roughness is not None:
        pbr |= {"metallicRoughnessTexture": file.texture(mesh.metallic_roughness), "metallicFactor": 1.0}
    if has_map:
        material["normalTexture"] = file.texture(mesh.normal_map)
        attributes["TANGENT"] = file.attribute(turned(_tangents(mesh.tangents, normals), to_y_up))
    primitive = {"attributes": attributes, "indices": file.indices(mesh.faces), "material": 0, "mode": 4}
    return file.bytes([primitive], [material])


class _File:
    """Accessors, views and pictures as they come, and the container of them."""

    def __init__(self):
        self.data = bytearray()
        self.tree: dict[str, Any] = {"accessors": [], "bufferViews": [], "images": [], "textures": []}

    def _view(self, data: bytes, target: int | None = None) -> int:
        self.data += b"\0" * (-len(self.data) % 4)
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)}
        self.tree["bufferViews"].append(view | ({"target": target} if target else {}))
        self.data += data
        return len(self.tree["bufferViews"]) - 1

    def _accessor(self, array: Any, kind: str, target: int, **more: Any) -> int:
        view = self._view(array.tobytes(), target)
        self.tree["accessors"].append({"bufferView": view, "componentType": _TYPES[str(array.dtype)],
                                       "count": len(array), "type": kind, **more})
        return len(self.tree["accessors"]) - 1

    def attribute(self, values: Any, with_range: bool = False, normalized: bool = False) -> int:
        array = values.numpy() if isinstance(values, Tensor) else values
        more: dict[str, Any] = {"normalized": True} if normalized else {}
        if with_range:
            more |= {"min": array.min(0).tolist(), "max": array.max(0).tolist()}
        return self._accessor(array, f"VEC{array.shape[1]}", _VERTICES, **more)

    def indices(self, faces: Tensor) -> int:
        return self._accessor(faces.reshape(-1).numpy().astype("uint32"), "SCALAR", _INDICES)

    def texture(self, picture: Tensor) -> dict[str, int]:
        self.tree["images"].append({"bufferView": self._view(png(picture)), "mimeType": "image/png"})
        self.tree["textures"].append({"sampler": 0, "source": len(self.tree["images"]) - 1})
        return {"index": len(self.tree["textures"]) - 1}

    def bytes(self, primitives: list, materials: list) -> bytes:
        data = bytes(self.data) + b"\0" * (-len(self.data) % 4)
        tree = {"asset": {"version": "2.0", "generator": "Distill3D"}, "scene": 0, "scenes": [{"nodes": [0]}],
                "nodes": [{"mesh": 0}], "meshes": [{"primitives": primitives}], "materials": materials,
                **{name: value for name, value in self.tree.items() if value}, "buffers": [{"byteLength": len(data)}]}
        if self.tree["textures"]:
            tree["samplers"] = [SAMPLER]
        text = json.dumps(tree, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(data), b"BIN\0") + data
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _unit(normals: Tensor | None, mesh: Mesh) -> Tensor:
    """[V,3] of length 1: the mesh's own where they have a length, else those of its shape."""
    if normals is None:
        return smooth_normals(mesh.vertices, mesh.faces).float()
    normals = normals.float()
    length = normals.norm(dim=1)
    if bool(((length - 1).abs() < 1e-4).all()):
        return normals
    usable = length.isfinite() & (length > 1e-6)
    return torch.where(usable[:, None], F.normalize(normals, dim=1), smooth_normals(mesh.vertices, mesh.faces).float())


def _tangents(tangents: Tensor, normals: Tensor) -> Tensor:
    """[V,4] of length 1 and a sign; where there is none, any direction across the normal."""
    direction, sign = tangents[:, :3].float(), torch.where(tangents[:, 3:] < 0, -1.0, 1.0)
    length = direction.norm(dim=1, keepdim=True)
    across = torch.linalg.cross(normals, F.one_hot(normals.abs().argmin(1), 3).float())
    good = (length - 1).abs() < 1e-4
    usable = length.isfinite() & (length > 1e-6)
    direction = torch.where(good, direction, F.normalize(torch.where(usable, direction, across), dim=1))
    return torch.cat([direction, sign], 1)


def _sixteen_bits(colors: Tensor) -> Any:
    """[V,3] in [0,1] -> opaque uint16 [V,4]."""
    import numpy as np

    return np.pad((colors * 65535 + 0.5).numpy().astype(np.uint16), ((0, 0), (0, 1)), constant_values=65535)


def to_bytes(colors: Tensor) -> Any:
    """[...] in [0,1] -> numpy uint8, rounded; values outside are clamped."""
    return (colors.detach().clamp(0, 1) * 255 + 0.5).byte().cpu().numpy()


def picture(texture: Tensor) -> Any:
    """Pillow's image of [H,W,3], [H,W,4] with alpha, or [H,W] for a grey one."""
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("Pillow", "Writing a texture") from error
    return Image.fromarray(to_bytes(texture))


def png(texture: Tensor) -> bytes:
    with BytesIO() as file:
        picture(texture).save(file, format="png")
        return file.getvalue()
