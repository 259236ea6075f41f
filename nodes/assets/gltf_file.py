"""glTF 2.0 files: the container, buffers, accessors and pictures (Khronos, glTF 2.0 Specification, sections 3.6 to 3.8,
4.4)."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from typing import Any
from urllib.parse import unquote

import numpy as np

from ..core.errors import DistillError, MissingPackage
from .mesh_part import Source, check_count
from .picture_file import MAX_PIXELS, read_picture

WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
NUMBERS = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
# What the reader honours, or what concerns neither shape nor base colour. Any other that a file demands is refused.
KNOWN = {
    "KHR_mesh_quantization",
    "KHR_draco_mesh_compression",
    "KHR_texture_transform",
    "EXT_mesh_gpu_instancing",
    "KHR_texture_basisu",
    "EXT_texture_webp",
    "EXT_texture_avif",
    "KHR_lights_punctual",
    "KHR_animation_pointer",
    "KHR_materials_variants",
    "EXT_mesh_features",
    "EXT_structural_metadata",
    "KHR_xmp_json_ld",
}


class GltfFile:
    """
    caller turns into a message.
    """

    def __init__(self, source: Source):
        self.source, self.pixels, self._buffers, self._pictures = source, 0, {}, {}
        self.tree, self._bin = _container(source.data)
        version = str(self._object(self.tree.get("asset", {})).get("version", "?"))
        if not version.startswith("2"):
            raise DistillError(f"it is glTF {version[:20]}; version 2.0 is read. Convert it.")
        for name in self.tree.get("extensionsRequired", []):
            if name not in KNOWN and not str(name).startswith("KHR_materials_"):
                raise DistillError(
                    f"it needs the extension {str(name)[:60]}, which is not read. Export it without (gltfpack: "
                    "without -c or -cc)."
                )

    @staticmethod
    def _object(value: Any) -> dict:
        if not isinstance(value, dict):
            raise TypeError(f"{type(value).__name__} where an object belongs")
        return value

    def item(self, kind: str, index: Any) -> dict:
        """The object number `index` of a list of the file."""
        if not isinstance(index, int) or isinstance(index, bool) or not 0 <= index < len(self.tree.get(kind, [])):
            raise DistillError(f"it names {kind}[{str(index)[:20]}], which the file does not have.")
        return self._object(self.tree[kind][index])

    def buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            uri = self.item("buffers", index).get("uri")
            if uri is None and index == 0 and self._bin is not None:
                self._buffers[index] = self._bin
            elif uri is None:
                raise DistillError(f"its buffer {index} has no content.")
            else:
                self._buffers[index] = self.beside(uri, "buffer")
        return self._buffers[index]

    def beside(self, uri: Any, what: str) -> bytes:
        """The content of a data: URI or of a file in the folder of this one. Raises DistillError naming the file."""
        if not isinstance(uri, str):
            raise TypeError(f"{type(uri).__name__} as uri")
        if uri.startswith("data:"):
            try:
                return base64.b64decode(uri.partition(",")[2], validate=False)
            except binascii.Error as error:
                raise DistillError(f"the {what} in it is damaged ({error}).") from error
        name = unquote(uri)
        path = self.source.beside(name)
        if path is None:
            where = "comes without its folder" if self.source.folder is None else "is missing beside it"
            raise DistillError(
                f'the {what} file "{name[:100]}" {where}. Put both into one folder below the input folder, or '
                "save it as .glb."
            )
        return path.read_bytes()

    def view(self, index: int) -> tuple[bytes, int | None]:
        """The bytes of a bufferView and its stride."""
        view = self.item("bufferViews", index)
        for name in ("EXT_meshopt_compression", "KHR_meshopt_compression"):
            if name in view.get("extensions", {}):
                raise DistillError(
                    f"it is compressed with {name}, which is not read. Export it without (gltfpack: without -c or -cc)."
                )
        offset, length = view.get("byteOffset", 0), view["byteLength"]
        buffer = self.buffer(view["buffer"])
        if not (
            isinstance(offset, int)
            and isinstance(length, int)
            and 0 <= offset
            and 0 <= length
            and offset + length <= len(buffer)
        ):
            raise DistillError(
                f"it is cut off: bufferViews[{index}] ends beyond the {len(buffer)} bytes of its buffer."
            )
        return buffer[offset : offset + length], view.get("byteStride")

    def accessor(self, index: int) -> np.ndarray:
        """[count, width] as stored: sparse values in place, normalised integers still integers."""
        accessor = self.item("accessors", index)
        kind, width = np.dtype(NUMBERS[accessor["componentType"]]), WIDTHS[accessor["type"]]
        count = check_count("numbers in an accessor", accessor["count"])
        check_count("numbers in an accessor", count * width)
        if "bufferView" in accessor:
            data, stride = self.view(accessor["bufferView"])
            found = _strided(data, kind, width, count, accessor.get("byteOffset", 0), stride, index)
        else:
            if count * width > max(1 << 20, len(self.source.data)):  # zeros that no byte of the file stands for
                raise DistillError(f"accessors[{index}] holds {count} values and no data.")
            found = np.zeros((count, width), kind)
        sparse = accessor.get("sparse")
        if sparse:
            number, where, values = check_count("sparse values", sparse["count"]), sparse["indices"], sparse["values"]
            rows = _strided(
                self.view(where["bufferView"])[0],
                np.dtype(NUMBERS[where["componentType"]]),
                1,
                number,
                where.get("byteOffset", 0),
                None,
                index,
            )[:, 0].astype(np.int64)
            if number and (rows.min() < 0 or rows.max() >= count):
                raise DistillError(f"accessors[{index}] has sparse values beyond its end.")
            found = found.copy()
            found[rows] = _strided(
                self.view(values["bufferView"])[0], kind, width, number, values.get("byteOffset", 0), None, index
            )
        return found

    def numbers(self, index: int) -> np.ndarray:
        """[count, width] float64, normalised integers in their range (section 3.11)."""
        return (
            unit(self.accessor(index))
            if self.item("accessors", index).get("normalized")
            else self.accessor(index).astype(float)
        )

    def picture(self, image: int) -> np.ndarray | None:
        """[H,W,4] float32 of an image, or None with a warning that names it."""
        if image not in self._pictures:
            entry = self.item("images", image)
            name = str(entry.get("name") or entry.get("uri") or image)[:100]
            name = f"images[{image}]" if name.startswith("data:") else f'"{name}"'
            try:
                data = (
                    self.view(entry["bufferView"])[0]
                    if "bufferView" in entry
                    else self.beside(entry.get("uri"), "picture")
                )
                if data[:12] == b"\xabKTX 20\xbb\r\n\x1a\n":
                    raise DistillError("it is a KTX2 texture, which is not read. Export it with PNG or JPEG textures.")
                found = read_picture(data, f"the picture {name}")
                self.pixels += found.shape[0] * found.shape[1]
                if self.pixels > 2 * MAX_PIXELS:
                    raise DistillError(f"its pictures have more than {2 * MAX_PIXELS >> 20} million pixels together.")
            except (DistillError, TypeError, KeyError) as error:
                if (
                    self.pixels > 2 * MAX_PIXELS
                    or isinstance(error, MissingPackage)
                    or " million are read" in str(error)
                ):
                    raise
                self.source.warn(f"The picture {name} is left out: {error}")
                found = None
            self._pictures[image] = found
        return self._pictures[image]


def unit(values: np.ndarray) -> np.ndarray:
    """Normalised integers as float64: unsigned in [0,1], signed in [-1,1]; floats stay."""
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return np.maximum(values / float(np.iinfo(values.dtype).max), -1.0)


def _strided(data: bytes, kind: np.dtype, width: int, count: int, offset: Any, stride: Any, index: int) -> np.ndarray:
    size = kind.itemsize * width
    stride = size if stride is None else stride
    if not (isinstance(offset, int) and isinstance(stride, int) and offset >= 0 and stride >= size):
        raise DistillError(f"accessors[{index}] is damaged (offset {str(offset)[:20]}, stride {str(stride)[:20]}).")
    if count == 0:
        return np.zeros((0, width), kind)
    if offset + stride * (count - 1) + size > len(data):
        raise DistillError(
            f"it is cut off: accessors[{index}] needs {offset + stride * (count - 1) + size} of {len(data)} bytes."
        )
    return np.ndarray((count, width), kind, data, offset, (stride, kind.itemsize))


def _container(data: bytes) -> tuple[dict[str, Any], bytes | None]:
    """The JSON and, of a GLB, the binary chunk."""
    if data[:4] != b"glTF":
        text, binary = data, None
        if data[:3] == b"\xef\xbb\xbf":
            text = data[3:]
    else:
        if len(data) < 20:
            raise DistillError("it is cut off in its header.")
        version, length = struct.unpack("<II", data[4:12])
        if version != 2:
            raise DistillError(f"it is GLB version {version}; version 2 is read. Convert it.")
        if length > len(data):
            raise DistillError(f"it is cut off: {len(data)} of {length} bytes are there. Copy or export it again.")
        size, kind = struct.unpack("<I4s", data[12:20])
        if kind != b"JSON" or 20 + size > len(data):
            raise DistillError("its first chunk is no JSON.")
        text, rest = data[20 : 20 + size], data[20 + size :]
        binary = None
        if len(rest) >= 8 and rest[4:8] == b"BIN\0":
            binary = rest[8 : 8 + struct.unpack("<I", rest[:4])[0]]
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DistillError(
            f"it is neither a GLB nor the JSON of a glTF ({str(error)[:80] or 'nested too deeply'})."
        ) from None
    return GltfFile._object(tree), binary


def draco(data: bytes, attributes: dict[str, int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What a Draco bitstream holds: attributes by name as stored, and faces [F,3]. attributes: unique ids by name.

    Raises MissingPackage, and DistillError for what is no such stream.
    """
    try:
        import DracoPy
    except ImportError as error:
        raise MissingPackage(
            "DracoPy", "The file's meshes are compressed with KHR_draco_mesh_compression. Reading them"
        ) from error
    try:
        mesh = DracoPy.decode(data)
        found = {
            name: np.asarray(mesh.get_attribute_by_unique_id(number)["data"]) for name, number in attributes.items()
        }
        return found, np.asarray(mesh.faces).astype(np.int64)
    except Exception as error:  # the decoder has kinds of its own
        raise DistillError(f"its Draco data cannot be decoded ({type(error).__name__}: {str(error)[:100]}).") from error
