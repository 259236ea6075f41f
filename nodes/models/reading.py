"""The context in which networks are read from files."""
from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator

import torch

from ..core.errors import MissingPackage
from .silence import silence


@contextmanager
def reading_networks(name: str) -> Iterator[None]:
    """Inside, networks are read without progress bars and warnings of the libraries, and outside of inference mode.

    Raises MissingPackage, beginning with `name`, where diffusers or transformers is not installed.
    """
    try:
        import diffusers  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        raise MissingPackage(error.name or "diffusers", name) from error
    with torch.inference_mode(False), silence():
        yield
