"""The workflow in the metadata of a file, in the format of ComfyUI's own nodes.

Dropping such a file on ComfyUI's canvas opens the workflow. ComfyUI reads GLB, WebP, MP4, PNG and safetensors;
web/drop_file.js reads PLY, OBJ and GIF. Notes are pairs of a name ("workflow", "prompt") and JSON text.
"""
from __future__ import annotations

import json
import struct
from typing import Any, Mapping

JSON_CHUNK = 0x4E4F534A


def with_notes(content: bytes, file_format: str, notes: Mapping[str, str]) -> bytes:
    """A GLB with the notes in `asset.extras`, or a PLY or OBJ with the notes as comments; other formats unchanged."""
    if not notes:
        return content
    if file_format == "glb":
        return _glb(content, notes)
    if file_format == "ply":
        return _ply(content, notes)
    if file_format == "obj":
        return b"".join(f"# {line}\n".encode() for line in lines(notes)) + content
    return content


def lines(notes: Mapping[str, str]) -> list[str]:
    """One line for each note, in ASCII: its name, a space and its JSON, in which line breaks are escaped."""
    return [f"{name} {json.dumps(json.loads(text))}" for name, text in notes.items()]


def exif(picture: Any, notes: Mapping[str, str]) -> Any:
    """Pillow's EXIF of a WebP: "prompt:..." as the camera's model, others from its make downwards."""
    found, tag = picture.getexif(), 0x010F
    for name, text in notes.items():
        if name == "prompt":
            found[0x0110] = f"{name}:{text}"
        else:
            found[tag] = f"{name}:{text}"
            tag -= 1
    return found


def _glb(content: bytes, notes: Mapping[str, str]) -> bytes:
    magic, version, _, length, kind = struct.unpack_from("<4sIIII", content)
    if magic != b"glTF" or kind != JSON_CHUNK:
        raise ValueError("no GLB")
    tree = json.loads(content[20:20 + length])
    tree["asset"]["extras"] = {**tree["asset"].get("extras", {}), **notes}
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    rest = content[20 + length:]
    return struct.pack("<4sIIII", magic, version, 20 + len(text) + len(rest), len(text), kind) + text + rest


def _ply(content: bytes, notes: Mapping[str, str]) -> bytes:
    head, end, body = content.partition(b"end_header\n")
    return head + b"".join(f"comment {line}\n".encode() for line in lines(notes)) + end + body
