"""Errors that a person reads: what is wrong, where it came from, what to do."""
from __future__ import annotations

import re

LONGEST_WORD, LONGEST_TEXT = 300, 2000  # characters of a message


def shortened(text: str) -> str:
    """A message without the bulk of what it repeats from a file: long words, and the middle of what is long
    together."""
    text = re.sub(rf"\S{{{LONGEST_WORD},}}", lambda word: f"{word[0][:80]}...{word[0][-20:]}", str(text))
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT // 2]} ... {text[-LONGEST_TEXT // 2:]}"


def first_line(error: Exception) -> str:
    """The first line of what a library says, without a terminal's colours; the error's type where it says nothing."""
    text = re.sub(r"\x1b\[[\d;]*m", "", str(error)).strip()
    return (text.splitlines() or [type(error).__name__])[0][:LONGEST_WORD].rstrip(".")


class DistillError(ValueError):
    """A problem that the user can mend. The message is a whole sentence and needs no traceback."""

    # The host shows a type with its module, whose name there is the path of the pack's folder.
    __module__ = "distill3d"

    def __init__(self, text: str):
        super().__init__(shortened(text))


class MissingPackage(DistillError, ImportError):
    """An optional package is needed now and is not installed."""

    __module__ = "distill3d"

    def __init__(self, package: str, purpose: str, alternative: str = ""):
        alternative = f" {alternative}" if alternative else ""
        super().__init__(f'{purpose} needs the package "{package}", which is not installed.{alternative} '
                         f"To install: pip install {package}")


def check_named(name: str, owner: str, what: str = "file name", advice: str = "Write a name.") -> None:
    """Raises DistillError, beginning with `owner`, where a name that a person gives is empty or only spaces (every
    folder "contains" that, and a message about folders would not say what is wrong), or cannot be that of a file."""
    if not name.strip():
        raise DistillError(f"{owner}: the {what} is empty. {advice}")
    if "\0" in name or any(len(part.encode("utf-8", "replace")) > 240 for part in re.split(r"[/\\]", name)):
        raise DistillError(f"{owner}: the {what} cannot be the name of a file: it has a part of more than 240 bytes or "
                           f"a character with the code 0. {advice}")


class Cancelled(Exception):
    """The user cancelled the run: nothing is kept but what was already saved."""

    __module__ = "distill3d"
