"""Atomic writing of pipeline folders: to a temporary folder, which is then renamed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fresh_folder(path: str | os.PathLike) -> Iterator[str]:
    """An empty folder to write into, which takes the place of `path` at the end of the block. After an error
    in it, `path` is as it was."""
    path = os.path.abspath(path)
    fresh, stale = f"{path}.writing", f"{path}.old"
    shutil.rmtree(fresh, ignore_errors=True)
    os.makedirs(fresh)
    try:
        yield fresh
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    for parent, _, names in os.walk(fresh):
        for name in names:
            os.chmod(os.path.join(parent, name), 0o644)  # safetensors lets only the owner read
    shutil.rmtree(stale, ignore_errors=True)
    if os.path.exists(path):
        os.replace(path, stale)
    os.replace(fresh, path)
    shutil.rmtree(stale, ignore_errors=True)
