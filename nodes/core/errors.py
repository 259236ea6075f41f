"""Errors that a person reads: what is wrong, where it came from, what to do."""
from __future__ import annotations


class DistillError(ValueError):
    """A problem that the user can mend. The message is a whole sentence and needs no traceback."""

    # The host shows a type with its module, whose name there is the path of the pack's folder.
    __module__ = "distill3d"


class MissingPackage(DistillError, ImportError):
    """An optional package is needed now and is not installed."""

    __module__ = "distill3d"

    def __init__(self, package: str, purpose: str, alternative: str = ""):
        alternative = f" {alternative}" if alternative else ""
        super().__init__(f'{purpose} needs the package "{package}", which is not installed.{alternative} '
                         f"To install: pip install {package}")


def check_named(name: str, owner: str, what: str = "file name", advice: str = "Write a name.") -> None:
    """Raises DistillError, beginning with `owner`, where a name that a person gives is empty or only spaces: every
    folder "contains" that, and a message about folders would not say what is wrong."""
    if not name.strip():
        raise DistillError(f"{owner}: the {what} is empty. {advice}")


class Cancelled(Exception):
    """The user cancelled the run: nothing is kept but what was already saved."""

    __module__ = "distill3d"
