"""The values of MODEL, CLIP and VAE wires without ComfyUI: the file that they come from."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ModelFile:
    """A checkpoint that Load Checkpoint found, the same on all three wires. Nothing is read yet: a node that knows what
    to make of it reads what it needs.

    path  of the file
    """

    path: str

    @property
    def name(self) -> str:
        return Path(self.path).name
