"""The warnings of the node that runs in this thread."""
from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import Iterator

WARNINGS = "distill3d_warnings"  # in a node's `ui`; web/warnings.mjs has the same name
_told: ContextVar[list[str] | None] = ContextVar("distill3d_warnings", default=None)


@contextmanager
def collecting() -> Iterator[list[str]]:
    """What `collect` is given inside the block, in this thread."""
    texts: list[str] = []
    token = _told.set(texts)
    try:
        yield texts
    finally:
        _told.reset(token)


def collect(text: str) -> bool:
    """Adds a warning to those of the node that runs. False where it has it already."""
    texts = _told.get()
    if texts is None:
        return True
    if text in texts:
        return False
    texts.append(text)
    return True
