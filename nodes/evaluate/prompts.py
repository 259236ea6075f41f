"""Lists of prompts whose true shape is known."""
from __future__ import annotations

import os
from pathlib import Path

from ..core.errors import DistillError
from ..shapes.caption import Shape, parse_shape

STANDARD = Path(__file__).with_name("prompts.txt")


def true_shape(caption: str) -> Shape:
    """The shape that a caption names. Raises DistillError with the valid words or forms."""
    try:
        return parse_shape(caption)
    except DistillError as error:
        raise DistillError(f"Only shapes that a caption names exactly can be compared with the truth. {error}") \
            from error


def read_lines(path: str | os.PathLike) -> list[str]:
    """The lines of a text file, without empty ones and what follows a #. Raises DistillError where there are none."""
    found = [caption for _, caption in _numbered(path)]
    if not found:
        raise DistillError(f"{path} holds no prompt. Write one caption per line.")
    return list(dict.fromkeys(found))


def _numbered(path: str | os.PathLike) -> list[tuple[int, str]]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(f"Cannot read the prompts in {path}: {error}. Give a text file with one caption per line.") \
            from error
    stripped = ((number, line.partition("#")[0].strip()) for number, line in enumerate(lines, 1))
    return [(number, caption) for number, caption in stripped if caption]


def read_prompts(path: str | os.PathLike = STANDARD) -> list[str]:
    """The captions of a text file, one per line; empty lines and lines from # on are skipped.

    Raises DistillError for a file that cannot be read, an empty list, a caption that names no shape (with its line)
    and a shape that occurs twice.
    """
    captions: dict[str, str] = {}
    for number, caption in _numbered(path):
        try:
            shape = true_shape(caption)
        except DistillError as error:
            raise DistillError(f"{path}, line {number}: {error}") from error
        if shape.caption in captions:
            raise DistillError(f'{path}, line {number}: "{shape.caption}" is already in the list. '
                               "Remove one of the two.")
        captions[shape.caption] = caption
    if not captions:
        raise DistillError(f"{path} holds no prompt. Write one caption per line.")
    return list(captions.values())
