"""State on disk: safetensors for the tensors, their JSON header for everything else, written atomically."""
from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import Tensor

from .errors import DistillError
from .reservation import MACHINE, is_running

CHECKSUM = "checksum"  # name of the fact


def write_atomically(path: str | os.PathLike, data: bytes) -> Path:
    """Writes `data` to `path` atomically: a reader sees either the old file or the complete new one.

    Raises DistillError if the folder is not writable or the disk is full, and removes the temporary file.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.{MACHINE}.{os.getpid()}.")
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


def _sweep(path: Path) -> None:
    """Removes temporary files next to `path` that killed processes of this machine left."""
    for left in path.parent.glob(f".*.{MACHINE}.*"):
        pid = left.name.split(f".{MACHINE}.")[-1].split(".")[0]
        if pid.isdigit() and int(pid) != os.getpid() and not is_running(int(pid)):
            with contextlib.suppress(OSError):
                left.unlink()


def save_state(path: str | os.PathLike, tensors: Mapping[str, Tensor], facts: Mapping[str, Any],
               notes: Mapping[str, str] | None = None) -> Path:
    """Saves tensors (any device) and JSON-serialisable facts to one .safetensors file, with a checksum over both.
    Equal content gives equal bytes. notes: further metadata of the file, such as the workflow.

    Raises DistillError before writing if a tensor has values that are not finite.
    """
    from safetensors.torch import save

    # Copies, because safetensors refuses tensors that share memory (tied weights, views).
    plain = {name: tensors[name].detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
             for name in sorted(tensors)}
    _check_finite(plain, str(path))
    facts = {**facts, CHECKSUM: _checksum(plain, facts)}
    return write_atomically(path, save(plain, {**(notes or {}), "distill3d": json.dumps(facts, sort_keys=True)}))


def read_state(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (CPU) and facts of a file written by `save_state`. Raises DistillError if the file is something else,
    is damaged, or has values that are not finite."""
    from safetensors import SafetensorError, safe_open

    if not os.path.isfile(path):
        raise DistillError(f"State file {path} does not exist.")
    try:
        with safe_open(path, framework="pt") as file:
            written = (file.metadata() or {}).get("distill3d")
            if written is None:
                raise DistillError(f"{path} is a safetensors file but no state of Distill3D.")
            tensors, facts = {name: file.get_tensor(name) for name in file.keys()}, json.loads(written)
    except (SafetensorError, ValueError, OSError, RecursionError) as error:
        raise DistillError(f"{path} cannot be read as a state of Distill3D ({error}). It may be cut off: delete it, "
                           "and start without resuming or use another one.") from error
    if not isinstance(facts, dict):
        raise DistillError(f"{path} cannot be read as a state of Distill3D (its facts are not a JSON object). Delete "
                           "it, and start without resuming or use another one.")
    checksum = facts.pop(CHECKSUM, None)
    if checksum is not None and checksum != _checksum(tensors, facts):  # older files have none
        raise DistillError(f"{path} is damaged: its content does not match its checksum. Delete it, and start without "
                           "resuming or use another one.")
    _check_finite(tensors, str(path))
    return tensors, facts


def read_facts(path: str | os.PathLike) -> dict[str, Any] | None:
    """The facts of a file written by `save_state`, without its tensors. None if it is something else or damaged; its
    tensors are not checked."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["distill3d"])
    except (SafetensorError, ValueError, KeyError, OSError, RecursionError):
        return None
    return facts if isinstance(facts, dict) else None


def _checksum(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> str:
    """CRC-32 of names, types, shapes and bytes. It detects damage, not manipulation."""
    value = zlib.crc32(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        value = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), value)
        if tensor.numel():
            value = zlib.crc32(memoryview(tensor.reshape(-1).view(torch.uint8).numpy()), value)
    return f"{value:08x}"


def _check_finite(tensors: Mapping[str, Tensor], place: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise DistillError(f'{place}: "{name}" has values that are not finite. The run diverged: lower its '
                               'learning rates, or use an earlier state.')
