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


def read_prompts(path: str | os.PathLike = STANDARD) -> list[str]:
    """The captions of a text file, one per line; empty lines and lines from # on are skipped.

    Raises DistillError for a file that cannot be read, an empty list, a caption that names no shape (with its line)
    and a shape that occurs twice.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DistillError(f"Cannot read the prompts in {path}: {error}. Give a text file with one caption per line.") \
            from error
    captions: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        caption = line.partition("#")[0].strip()
        if not caption:
            continue
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
