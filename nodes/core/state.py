"""State on disk: safetensors for the tensors, their JSON header for everything else, written atomically."""
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import Tensor

from .errors import DistillError


def write_atomically(path: str | os.PathLike, data: bytes) -> Path:
    """Writes `data` to `path` so that a reader sees the old file or the whole new one, never a part.

    Raises DistillError when the folder cannot be written or the disk is full; nothing is left behind then.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise DistillError(f"Cannot write {path}: {error.strerror or error}. "
                           "Free some space or choose a folder that can be written.") from error
    return path


def save_state(path: str | os.PathLike, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Path:
    """Saves tensors (any device) and JSON-able facts to one .safetensors file. Equal content gives equal bytes."""
    from safetensors.torch import save

    # Copies, because safetensors refuses names that share memory (tied weights, views).
    plain = {name: tensors[name].detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
             for name in sorted(tensors)}
    return write_atomically(path, save(plain, {"distill3d": json.dumps(facts, sort_keys=True)}))


def read_state(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (CPU) and facts of a file written by `save_state`. Raises DistillError when it is not one."""
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise DistillError(f"State file {path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            facts = (file.metadata() or {}).get("distill3d")
            if facts is None:
                raise DistillError(f"{path} is a safetensors file but no state of Distill3D.")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(facts)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise DistillError(f"{path} cannot be read as a state of Distill3D ({error}). "
                           "It may be cut off: use an earlier one.") from error
