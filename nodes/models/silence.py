"""Silence: hides progress bars and warnings of the model libraries."""
from __future__ import annotations

from contextlib import ExitStack, contextmanager
from importlib import import_module
from typing import Iterator

LIBRARIES = ("diffusers", "transformers")


@contextmanager
def silence() -> Iterator[None]:
    """No progress bars and no warnings of LIBRARIES inside; their settings come back afterwards.

    Errors are raised as ever. A library that is not installed has nothing to be silenced.
    """
    with ExitStack() as restore:
        for library in LIBRARIES:
            try:
                logging = import_module(f"{library}.utils.logging")
            except ImportError:
                continue
            restore.callback(logging.set_verbosity, logging.get_verbosity())
            logging.set_verbosity_error()
            if logging.is_progress_bar_enabled():
                restore.callback(logging.enable_progress_bar)
                logging.disable_progress_bar()
        yield
