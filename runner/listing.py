"""The output of `distill3d list`: nodes by room, one node with its inputs, or the shipped workflows."""
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ..nodes.core.errors import DistillError
from ..workflows.order import name_of
from . import schema
from .schema import Registry

PACK = Path(__file__).parents[1]
FOLDER, HELP = PACK / "workflows", PACK / "web" / "docs"


def shipped_workflows(folder: Path = FOLDER) -> dict[str, Path]:
    """The workflow files that come with the pack, by name."""
    return {name_of(path.stem): path for path in sorted(folder.glob("*.json"))}


def find_workflow(name: str, folder: Path = FOLDER) -> Path:
    """A workflow by its path or by the name of a shipped one. Raises DistillError with similar names."""
    shipped = shipped_workflows(folder)
    if Path(name).is_file():
        return Path(name)
    known = name_of(Path(name).name.removesuffix(".json"))  # also where a file once was, and by the template's title
    if known in shipped:
        return shipped[known]
    raise DistillError(f'There is no workflow file "{name}" and no shipped workflow has that name'
                       f"{schema.close_to(Path(name).stem, shipped)}. "
                       f"Shipped workflows: {', '.join(shipped) or 'none'}.")


def list_nodes(registry: Registry) -> str:
    """Every node by room, with its first sentence."""
    rooms: dict[str, list[type]] = {}
    for node in registry.values():
        rooms.setdefault(schema.schema_of(node).category or "other", []).append(node)
    width = max((len(schema.display_name(node)) for node in registry.values()), default=0)
    lines = []
    for room in sorted(rooms, key=lambda name: (not name.startswith("Distill3D"), name)):
        lines += ["", room] if lines else [room]
        for node in rooms[room]:
            what = first_sentence(schema.schema_of(node).description)
            lines.append(f"  {schema.display_name(node):<{width}}  {what}".rstrip())
    return "\n".join(lines) + "\n"


def list_node(name: str, registry: Registry) -> str:
    """One node, by display name or id: its inputs with defaults, ranges and tooltips, its outputs, and its help
    page."""
    names = {one.casefold(): node for key, node in registry.items()
             for one in (schema.display_name(node), key.removeprefix("Distill3D_"), key)}
    node = names.get(name.casefold())
    if node is None:
        raise DistillError(f'There is no node "{name}"{schema.close_to(name, names)}. "distill3d list" shows all.')
    entry = schema.schema_of(node)
    lines = [f"{schema.display_name(node)} ({entry.node_id})", entry.description or ""]
    lines += ["", "Inputs"] + [_slot(entry, input_facts(entry)) for entry in schema.inputs_of(node).values()]
    lines += ["", "Outputs"] + [_slot(slot, slot.get_io_type()) for slot in schema.outputs_of(node)]
    return "\n".join(lines) + "\n" + written_help(entry.node_id)


def written_help(node_id: str) -> str:
    """The handwritten part of the node's help page as plain text; "" without a page."""
    try:
        page = (HELP / f"{node_id}.md").read_text(encoding="utf-8")
    except OSError:
        return ""
    own = re.sub(r"^# .*\n", "", page.split("\n## Inputs\n")[0])
    return re.sub(r"^## ", "", re.sub(r"\*\*|`", "", own), flags=re.M).rstrip() + "\n"


def _slot(slot: Any, facts: str) -> str:
    name = slot.id or slot.display_name or slot.get_io_type()
    return f"  {name}  [{facts}]" + (f"\n      {slot.tooltip}" if slot.tooltip else "")


def input_facts(entry: Any) -> str:
    """The kind of an input, its choices or range, and its default."""
    facts = [entry.get_io_type()]
    kind = schema.widget_type(entry)
    if kind == "COMBO" and schema.choices(entry):
        facts.append(" | ".join(map(str, schema.choices(entry))))
    elif kind in ("INT", "FLOAT") and entry.min is not None and entry.max is not None:
        facts.append(f"{entry.min} to {entry.max}")
    if kind and entry.default is not None:
        facts.append(f"default {json.dumps(entry.default, default=str)}")
    return ", ".join(facts + (["optional"] if entry.optional and not kind else []))


def list_workflows(folder: Path = FOLDER) -> str:
    """The shipped workflows, each with the first sentence of its first note."""
    shipped = shipped_workflows(folder)
    width = max(map(len, shipped), default=0)
    return "".join(f"{name:<{width}}  {first_sentence(_note(path))}".rstrip() + "\n"
                   for name, path in shipped.items()) or "No workflow comes with this installation.\n"


def _note(path: Path) -> str:
    """The first line of text of the first note in a file; "" without a note."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        texts = [str(node["widgets_values"][0]) for node in data.get("nodes", [])
                 if node.get("type") in ("Note", "MarkdownNote") and node.get("widgets_values")]
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return ""
    lines = [line.strip() for line in (texts[0].splitlines() if texts else [])]
    return next((line for line in lines if line and not line.startswith("#")), "")


def first_sentence(text: str) -> str:
    """Up to the first full stop before a capital, without the addresses of Markdown links."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text or "").strip()
    return re.split(r"\.\s+(?=[A-Z])", plain.split("\n")[0])[0].rstrip(".")
