"""The output of the readers of mesh files: parts with one material each, before they are joined to one mesh."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable

import numpy as np

from ..core.errors import DistillError

MAX_CORNERS = 20_000_000  # vertices, or corners of faces, of one file
MAX_BYTES = 2 << 30  # of one file


@dataclass(eq=False)
class Look:
    """A material: its base colour.

    picture  [H,W,4] uint8, or float32 in [0,1], display-referred with alpha; or None
    factor   [4] linear, multiplied with the picture
    wrap     of uv outside 0..1, along u and v: "repeat", "mirror" or "edge"
    alpha    "OPAQUE", "MASK" (below `cutoff` transparent) or "BLEND"
    """

    picture: np.ndarray | None = None
    factor: np.ndarray | None = None
    wrap: tuple[str, str] = ("repeat", "repeat")
    alpha: str = "OPAQUE"
    cutoff: float = 0.5


@dataclass
class Part:
    """Y up. vertices [V,3]; faces [F,3] int64; normals [V,3], uv [V,2] (v downwards, as in glTF) and colors [V,3]
    (linear) or None."""

    vertices: np.ndarray
    faces: np.ndarray
    normals: np.ndarray | None = None
    uv: np.ndarray | None = None
    colors: np.ndarray | None = None
    look: Look = field(default_factory=Look)


@dataclass(frozen=True)
class Source:
    """A file, or only its content. folder: where its companion files are searched; None for content without a path."""

    data: bytes
    folder: Path | None
    warn: Callable[[str], None]

    @classmethod
    def of(cls, source: str | os.PathLike | bytes, warn: Callable[[str], None]) -> "Source":
        """Raises DistillError for more than MAX_BYTES, OSError for an unreadable file."""
        size = len(source) if isinstance(source, bytes) else os.path.getsize(source)
        if size > MAX_BYTES:
            raise DistillError(f"it has {size / 2**30:.1f} GiB; at most {MAX_BYTES >> 30} are read. Reduce the mesh.")
        if isinstance(source, bytes):
            return cls(source, None, warn)
        path = Path(source)
        return cls(path.read_bytes(), path.resolve().parent, warn)

    def beside(self, name: str) -> Path | None:
        """The file with a relative name, or else a file in the folder with the name's last part, ignoring case. None if
        there is none. Files outside the folder are never returned."""
        if self.folder is None or "\0" in name:
            return None
        parts = [one for one in name.replace("\\", "/").split("/") if one]
        if not parts:
            return None
        try:
            for path in (self.folder.joinpath(*parts), self.folder / parts[-1]):
                path = path.resolve()
                if self.folder in path.parents and path.is_file():
                    return path
            for path in self.folder.iterdir():
                if path.name.lower() == parts[-1].lower() and path.is_file() and self.folder in path.resolve().parents:
                    return path
        except OSError:  # a name too long, or with characters that the file system does not support
            pass
        return None


def check_count(what: str, count: Any) -> int:
    """A count of a header or an accessor as a number within the limit. Raises DistillError."""
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= MAX_CORNERS:
        raise DistillError(
            f"it has {str(count)[:20]} {what}; at most {MAX_CORNERS // 10**6} million are read. Reduce the mesh."
        )
    return count
