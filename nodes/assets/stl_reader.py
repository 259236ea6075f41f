"""STL: triangles without colours, binary or as text."""

from __future__ import annotations

import numpy as np

from ..core.errors import DistillError
from .mesh_part import Part, Source, check_count

_RECORD = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def read_stl(source: Source) -> list[Part]:
    """Vertices at one place are joined. Raises DistillError for a file that is cut off."""
    data = source.data
    if len(data) >= 84:
        count = int.from_bytes(data[80:84], "little")
        if len(data) == 84 + 50 * count or not data[:512].lstrip().startswith(b"solid"):
            if len(data) < 84 + 50 * count:
                raise DistillError(
                    f"it is cut off: {(len(data) - 84) // 50} of {count} triangles are there. Copy or export it again."
                )
            return _joined(np.frombuffer(data, _RECORD, check_count("triangles", count), 84)["corners"])
    if not data.lstrip().startswith(b"solid"):
        raise DistillError(
            'it is no STL: neither text that begins with "solid" nor a binary file with a count of triangles.'
        )
    words = [line.split()[1:4] for line in data.splitlines() if line.lstrip()[:6].lower() == b"vertex"]
    if len(words) % 3 or b"endsolid" not in data[-4096:]:
        raise DistillError(f"it is cut off after {len(words) // 3} triangles. Copy or export it again.")
    return _joined(np.array(words, np.float64).reshape(-1, 3, 3))


def _joined(corners: np.ndarray) -> list[Part]:
    if not len(corners):
        return []
    vertices, faces = np.unique(corners.reshape(-1, 3).astype(np.float32) + 0.0, axis=0, return_inverse=True)
    return [Part(vertices, faces.reshape(-1, 3).astype(np.int64))]
