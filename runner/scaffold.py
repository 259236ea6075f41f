"""`distill3d new loss "Edge Loss"`: begins a loss, prior, field or material.

It writes nodes/<room>/<name>.py, its test, and the node's line in nodes/__init__.py. `make sync` then adds the node to
the frozen ids, the labels and the help pages. The files run and pass their test: replace the simple thing that they
compute by the real one.
"""
from __future__ import annotations

import re
from pathlib import Path

from ..nodes.core.errors import DistillError
from .listing import PACK

TEMPLATES = Path(__file__).parent / "templates"
ROOMS = {"loss": "losses", "prior": "priors", "field": "fields", "material": "materials"}
SUFFIX = {"loss": " Loss", "prior": " Prior", "field": "", "material": ""}


def write(kind: str, name: str, pack: Path = PACK) -> list[Path]:
    """Writes the files and returns them. Raises DistillError for a name without letters, or one that is taken."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    suffix = SUFFIX[kind].strip()
    if words and words[-1].lower() == suffix.lower():
        words = words[:-1]
    if not words or not words[0][0].isalpha():
        raise DistillError(f'new {kind}: "{name}" is not a name. Write it as in the menu, for example '
                           f'"Edge{SUFFIX[kind]}".')
    words = [word[0].upper() + word[1:] for word in words]
    title, cls = " ".join(words) + SUFFIX[kind], "".join(words)
    module = "_".join(word.lower() for word in words) + ("_prior" if kind == "prior" else "")
    room = ROOMS[kind]
    code, test = pack / "nodes" / room / f"{module}.py", pack / "tests" / "nodes" / room / f"test_{module}.py"
    for path in (code, test):
        if path.exists():
            raise DistillError(f"new {kind}: {path.relative_to(pack)} exists. Choose another name, or edit that file.")
    facts = {"TITLE": title, "CLASS": cls, "NODE": cls + suffix + "Node", "ID": f"Distill3D_{cls}{suffix}",
             "MODULE": module, "WORDS": " ".join(word.lower() for word in words)}
    code.write_text(_filled(kind, facts), encoding="utf-8")
    test.write_text(_filled(f"{kind}_test", facts), encoding="utf-8")
    listing = pack / "nodes" / "__init__.py"
    listing.write_text(_listed(listing.read_text(encoding="utf-8"), room, module, facts["NODE"]), encoding="utf-8")
    return [code, test, listing]


def _filled(template: str, facts: dict[str, str]) -> str:
    text = (TEMPLATES / f"{template}.txt").read_text(encoding="utf-8")
    for name, value in facts.items():
        text = text.replace(f"@{name}@", value)
    return text


def _listed(source: str, room: str, module: str, node: str) -> str:
    """nodes/__init__.py with a line for the node after the last one of its room."""
    lines = source.split("\n")
    last = max(number for number, line in enumerate(lines) if line.strip().startswith(f"from .{room}."))
    lines.insert(last + 1, f"    from .{room}.{module} import {node}")
    return "\n".join(lines)
