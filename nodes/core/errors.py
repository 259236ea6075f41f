"""Errors shown to the user: what is wrong, where it came from, what to do."""
from __future__ import annotations

import re

LONGEST_WORD, LONGEST_TEXT = 300, 2000  # characters of a message


def shortened(text: str) -> str:
    """The message with long words and a long middle cut out. A message that quotes a file can be very long."""
    text = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:80]}...{word[0][-20:]}", str(text))
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT // 2]} ... {text[-LONGEST_TEXT // 2:]}"


def first_line(error: Exception) -> str:
    """The first line of an error's message without terminal colours, or the error's type if the message is empty."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:LONGEST_WORD].rstrip(".")


class DistillError(ValueError):
    """A problem that the user can fix. The message is a whole sentence and needs no traceback."""

    # ComfyUI shows a type with its module, which there is named by the path of the pack's folder.
    __module__ = "distill3d"

    def __init__(self, text: str):
        super().__init__(shortened(text))


class MissingPackage(DistillError, ImportError):
    """An optional package is needed and not installed."""

    __module__ = "distill3d"

    def __init__(self, package: str, purpose: str, alternative: str = ""):
        alternative = f" {alternative}" if alternative else ""
        super().__init__(f'{purpose} needs the package "{package}", which is not installed.{alternative} '
                         f"To install: pip install {package}")


def check_named(name: str, owner: str, what: str = "file name", advice: str = "Write a name.") -> None:
    """Raises DistillError, beginning with `owner`, if a name given by the user is empty, only spaces, or impossible as
    a file name.

    An empty name would pass a check for existence, since it joins to the folder itself.
    """
    if not name.strip():
        raise DistillError(f"{owner}: the {what} is empty. {advice}")
    if "\0" in name or any(len(part.encode("utf-8", "replace")) > 240 for part in re.split(r"[/\\]", name)):
        raise DistillError(f"{owner}: the {what} cannot be the name of a file: it has a part of more than 240 bytes or "
                           f"a character with the code 0. {advice}")


class Cancelled(Exception):
    """The user cancelled the run. Only what was already saved is kept."""

    __module__ = "distill3d"
