"""Pictures for the template browser, drawn: the stages of a method and its name.

    python -m distill3d.runner.thumbnail

They stand for workflows without a picture of a result, and say that they are schematic. A picture of a result is
never replaced.
"""
from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from ..workflows.description import Method, is_outside
from ..workflows.order import title_of
from .listing import FOLDER
from .sync import methods

SIZE, LABEL = (512, 512), "schematic, not a result"
GROUND, STAGE, EDGE, INK, FAINT, GIVEN = "#1e2030", "#333355", "#6a8cff", "#f2f2f2", "#a0a4b8", "#355035"
MARK = "distill3d schematic"  # in the comment of the file


def rows(method: Method) -> tuple[list[str], list[str]]:
    """What a method is given, and its stages, as they are named on its canvas."""
    gathered = method.gathered()
    given = [one.title or _spaced(one.type) for one in gathered.nodes.values()
             if not one.stage and is_outside(one.node_id if one.type.startswith(":") else one.type)
             and not one.type.startswith((":Save", ":Preview"))]
    return list(dict.fromkeys(given)), [one.title for one in method.stages] or _types(method)


def _types(method: Method) -> list[str]:
    return [one.title or _spaced(one.type) for one in method.nodes.values() if not one.type.startswith(":")][:5]


def _spaced(kind: str) -> str:
    name = kind.removeprefix(":").removeprefix("Distill3D_")
    return "".join(f" {letter}" if place and letter.isupper() and not name[place - 1].isupper() else letter
                   for place, letter in enumerate(name))


def draw(title: str, method: Method) -> Any:
    """A PIL picture."""
    from PIL import Image, ImageDraw, ImageFont

    def font(size: int) -> Any:
        return ImageFont.load_default(size)

    picture = Image.new("RGB", SIZE, GROUND)
    pen = ImageDraw.Draw(picture)
    kind, _, text = title.partition(" - ")
    pen.text((28, 24), kind.lstrip("0123456789 "), FAINT, font(20))
    name = textwrap.fill(text or kind, 24)
    pen.multiline_text((28, 52), name, INK, font(32), spacing=6)
    top = 52 + 42 * (1 + name.count("\n")) + 16
    given, stages = rows(method)
    listed = ", ".join(given[:4]) + (" ..." if len(given) > 4 else "")
    if listed:
        lines = textwrap.wrap(listed, 46)[:2]
        pen.rounded_rectangle((28, top, 484, top + 20 + 24 * len(lines)), 10, GIVEN)
        pen.multiline_text((42, top + 8), "\n".join(lines), INK, font(18), spacing=6)
        top += 20 + 24 * len(lines) + 22
    height = min(52, (468 - top) // max(1, len(stages)) - 14)
    for place, stage in enumerate(stages):
        y = top + place * (height + 14)
        pen.rounded_rectangle((28, y, 484, y + height), 10, STAGE, EDGE, 2)
        pen.text((44, y + height / 2), textwrap.shorten(stage, 44, placeholder=" ..."), INK, font(min(22, height - 6)),
                 anchor="lm")
        if place or listed:
            pen.polygon([(248, y - 12), (264, y - 12), (256, y - 2)], EDGE)
    pen.text((484, 496), LABEL, FAINT, font(15), anchor="rs")
    return picture


def write(folder: Path = FOLDER) -> list[Path]:
    """Draws the pictures that are missing and those that were drawn. Returns what it wrote."""
    from PIL import Image

    written = []
    for name, method in methods().items():
        path = folder / f"{title_of(name)}.jpg"
        if path.is_file():
            with Image.open(path) as old:
                if MARK.encode() not in (old.info.get("comment") or b""):
                    continue
        draw(title_of(name), method).save(path, quality=88, comment=MARK)
        written.append(path)
    return written


if __name__ == "__main__":
    for path in write():
        print(path)
