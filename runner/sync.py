"""Writes every generated file of the repository: `make sync`, or `distill3d sync`.

    locales/en/*.json           labels and tooltips for ComfyUI, from the schemas
    web/docs/NODE_ID.md         the table of inputs at the end of each help page; a missing page is started as a stub
    tests/rules/node_ids.json   ids and inputs that saved workflows rely on; new ones are appended, none is removed
    workflows/TITLE.json        from the description workflows/methods/NAME.py; workflows/order.py has the titles
    subgraphs/TITLE.json        stages as blueprints, see blueprint.py
    pyproject.toml              the list of packages: every folder with code

A workflow file without a description is left alone.
"""
from __future__ import annotations

import json
import pkgutil
import re
import textwrap
from importlib import import_module
from pathlib import Path
from typing import Any

from ..nodes import comfy, node_list
from ..nodes.core.errors import DistillError
from ..workflows.description import Method
from ..workflows.order import title_of
from . import blueprint, describe, schema
from .listing import FOLDER, HELP, PACK, input_facts
from .method import file, meaning, named

LOCALES = PACK / "locales" / "en"
PROMISES = PACK / "tests" / "rules" / "node_ids.json"
CODE = ("kernels", "nodes", "runner", "workflows")
INPUTS = "\n## Inputs\n"
STUB = """
## Wiring
(Write here: from which nodes and into which.)

## Numbers
(Write here: inputs that need explaining, with units, published and usual values.)

## When it looks wrong
(Write here: what one sees, and what to change.)

## Source
(Write here: the paper.)
"""


def generated() -> dict[Path, str]:
    """{generated file: the text that it should have}."""
    return {**locales(), **help_pages(), **promises(), **workflows(), **blueprint.texts(methods()), **packages()}


def out_of_date() -> list[Path]:
    """The generated files whose text differs from what it should be."""
    return [path for path, text in generated().items()
            if not path.is_file() or path.read_text(encoding="utf-8") != text]


def write() -> list[Path]:
    """Writes what is out of date and returns it."""
    wanted, stale = generated(), out_of_date()
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8")
    return stale


def as_text(content: Any) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def locales() -> dict[Path, str]:
    """The files and keys are ComfyUI's: nodeDefs.json by node id, outputs by their number; main.json with the parts of
    the menu and the types of wires."""
    return {LOCALES / f"{name}.json": as_text(content) for name, content in english().items()}


def english() -> dict[str, dict[str, Any]]:
    """{file: content} as the schemas have it."""
    nodes = sorted(node_list(), key=lambda node: schema.schema_of(node).node_id)
    rooms = sorted({part for node in nodes for part in schema.schema_of(node).category.split("/")})
    kinds = sorted(kind.io_type for kind in vars(comfy).values()
                   if isinstance(getattr(kind, "io_type", None), str) and kind.io_type.startswith("DISTILL3D_"))
    return {"main": {"nodeCategories": {room: room for room in rooms},
                     "dataTypes": {kind: kind.removeprefix("DISTILL3D_") for kind in kinds}},
            "nodeDefs": {schema.schema_of(node).node_id: _texts(node) for node in nodes}}


def _texts(node: type) -> dict[str, Any]:
    inputs = {name: {"name": name, "tooltip": socket.tooltip} for name, socket in schema.inputs_of(node).items()}
    outputs = {str(number): {"name": slot.display_name or slot.id, "tooltip": slot.tooltip}
               for number, slot in enumerate(schema.outputs_of(node))}
    return {"display_name": schema.display_name(node), "description": schema.schema_of(node).description,
            "inputs": inputs, **({"outputs": outputs} if outputs else {})}


def help_pages() -> dict[Path, str]:
    """Pages are written by hand above the heading "Inputs"."""
    pages = {}
    for node in node_list():
        path = HELP / f"{schema.schema_of(node).node_id}.md"
        written = path.read_text(encoding="utf-8").split(INPUTS)[0] if path.is_file() else \
            f"# {schema.display_name(node)}\n\n{schema.schema_of(node).description}\n{STUB}"
        pages[path] = written + table(node)
    return pages


def table(node: type) -> str:
    """The generated part of a help page, identical on every machine."""
    lines = ["| input | takes | |", "|---|---|---|"]
    for entry in schema.inputs_of(node).values():
        cells = (f"`{entry.id}`", takes(entry), entry.tooltip or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return INPUTS + "\n" + "\n".join(lines if schema.inputs_of(node) else ["None."]) + "\n"


def takes(entry: Any) -> str:
    """What an input takes, in words."""
    if schema.names_files(entry):
        return "a file or folder of models"
    facts = input_facts(entry).replace("DISTILL3D_", "").replace(",SCHEDULE", " or SCHEDULE")
    return facts.replace(".0 to ", " to ").replace(".0,", ",")


def promises() -> dict[Path, str]:
    """Empty if the tests are not installed."""
    if not PROMISES.is_file():
        return {}
    promised = json.loads(PROMISES.read_text(encoding="utf-8"))
    for node in node_list():
        kept = promised.setdefault(schema.schema_of(node).node_id, [])
        kept += [name for name in schema.inputs_of(node) if name not in kept]
    lines = [f"  {json.dumps(name)}: {json.dumps(inputs)}" for name, inputs in sorted(promised.items())]
    return {PROMISES: "{\n" + ",\n".join(lines) + "\n}\n"}


def packages() -> dict[Path, str]:
    """pyproject.toml with every folder of code as a package. setuptools cannot find them by itself, because the folder
    of the pack may have any name. Empty if the pack is installed without pyproject.toml."""
    path = PACK / "pyproject.toml"
    if not path.is_file():
        return {}
    folders = {file.parent.relative_to(PACK) for room in CODE for file in (PACK / room).rglob("*.py")}
    names = [".".join(("distill3d", *folder.parts)) for folder in sorted(folders | {Path()})]
    listed = textwrap.fill(", ".join(f'"{name}"' for name in names), 118, initial_indent="  ", subsequent_indent="  ")
    return {path: re.sub(r"(?m)^packages = \[.*?\]", lambda _: f"packages = [\n{listed},\n]",
                         path.read_text(encoding="utf-8"), count=1, flags=re.DOTALL)}


def methods() -> dict[str, Method]:
    """The descriptions in workflows/methods, by the name of their workflow."""
    from ..workflows import methods as folder

    return {found.name: import_module(f"{folder.__name__}.{found.name}").METHOD
            for found in pkgutil.iter_modules(folder.__path__)}


def workflows() -> dict[Path, str]:
    """A file with the meaning of its description is kept as it is: nodes may be moved in the editor, and an optional
    widget that is appended to a node changes no file."""
    registry = schema.default_registry()
    paths = {name: FOLDER / f"{title_of(name)}.json" for name in methods()}
    return {paths[name]: kept(paths[name], method, registry) or laid_out(method, registry, name)
            for name, method in methods().items()}


def laid_out(method: Method, registry: schema.Registry, name: str = "method") -> str:
    return json.dumps(file(method, registry, name), indent=1, ensure_ascii=False) + "\n"


def kept(path: Path, method: Method, registry: schema.Registry) -> str:
    """The file's text if it has the meaning of the description, else ""."""
    if not path.is_file():
        return ""
    try:
        is_same = meaning(named(describe.read(path, registry), registry)) == meaning(named(method, registry))
    except DistillError:
        return ""
    return path.read_text(encoding="utf-8") if is_same else ""
