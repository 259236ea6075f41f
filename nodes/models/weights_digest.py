"""A digest that identifies the weights in a folder."""
from __future__ import annotations

import hashlib
from pathlib import Path

LARGE = 1 << 28  # bytes; larger files count by size and date


def weights_digest(folder: str | Path) -> str:
    """Twelve letters that change with the weights in a folder."""
    digest = hashlib.sha256()
    for path in sorted(Path(folder).rglob("*.safetensors")):
        facts = path.stat()
        digest.update(path.read_bytes() if facts.st_size < LARGE else repr((facts.st_size, facts.st_mtime_ns)).encode())
    return digest.hexdigest()[:12]
