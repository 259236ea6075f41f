"""File names that a writer reserves, so that two runs which share a folder never write to one file."""
from __future__ import annotations

import contextlib
import os
import platform
import time
from pathlib import Path

from .errors import DistillError

MACHINE = "".join(letter for letter in platform.node() if letter.isalnum())[:24] or "machine"
_MARK, _LONGEST = b"reserved by Distill3D: ", 200
_DAY = 86_400.0


def reserve(path: Path) -> bool:
    """Creates `path` for this process; False where it exists. The file that is written later takes its place.

    Raises DistillError where the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return False
    except OSError as error:
        raise DistillError(f"Cannot write {path}: {error.strerror or error}. Free some space or choose a folder that "
                           "can be written.") from error
    with os.fdopen(handle, "wb") as file:
        file.write(_MARK + f"{MACHINE} {os.getpid()}".encode())
    return True


def release(path: Path) -> None:
    """Removes a reservation to which nothing was written."""
    if owner_of(path) is not None:
        with contextlib.suppress(OSError):
            path.unlink()


def sweep(paths: list[Path]) -> None:
    """Removes the reservations among `paths` of processes that were killed; those of other machines after a day."""
    for path in paths:
        owner = owner_of(path)
        if owner is None:
            continue
        machine, pid = owner
        with contextlib.suppress(OSError):
            is_left = not is_running(pid) if machine == MACHINE else time.time() - path.stat().st_mtime > _DAY
            if is_left:
                path.unlink()


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs. True where that cannot be known."""
    if os.name != "posix":  # asking would end the process there
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    return True


def owner_of(path: Path) -> tuple[str, int] | None:
    """Machine and process of a reservation; None for any other file."""
    try:
        if path.stat().st_size > _LONGEST:
            return None
        machine, pid = path.read_bytes().removeprefix(_MARK).decode().split() if _is_mark(path) else ("", "")
        return (machine, int(pid)) if machine else None
    except (OSError, ValueError):
        return None


def _is_mark(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_MARK)) == _MARK
