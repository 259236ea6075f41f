"""Turns a workflow file into a description, for example after it was changed in the editor:

    distill3d layout my_workflow.json > workflows/methods/my_workflow.py
"""
from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..workflows.description import Described, Method, Stage, Wire, is_outside
from . import schema
from .graph import Graph, Link
from .schema import Registry
from .workflow_file import read_graph

WIDTH = 118


def read(path: Path, registry: Registry | None = None) -> Method:
    """The description of a workflow in the editor's format. Raises DistillError if the file is not a workflow."""
    registry = schema.default_registry() if registry is None else registry
    graph = read_graph(path, registry)
    data = json.loads(path.read_text(encoding="utf-8"))
    drawn = dict(_sheets(data))
    names = _names(graph, {one: node.get("title", "") for one, (node, _) in drawn.items()})
    nodes = {names[one]: Described(node.type.removeprefix("Distill3D_") if node.type.startswith("Distill3D_")
                                   else f":{node.type}", _inputs(graph, one, names, registry),
                                   drawn[one][0].get("title", ""), _group(drawn[one][1], drawn[one][0]),
                                   drawn[one][1].get("name", "") if ":" in one else "")
             for one, node in sorted(graph.nodes.items(), key=lambda item: _order(item[0]))}
    notes = [node["widgets_values"][0] for node in data.get("nodes", []) if node["type"] in ("Note", "MarkdownNote")]
    groups = dict.fromkeys(group["title"] for sheet in (data, *_definitions(data).values())
                           for group in sheet.get("groups") or [])
    return Method(nodes, list(groups), notes, _stages(data, graph, names))


def _order(one: str) -> int:
    last = one.rpartition(":")[2]
    return int(last) if last.isdecimal() else 0


def _definitions(data: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {str(one["id"]): one for one in (data.get("definitions") or {}).get("subgraphs") or []}


def _sheets(data: dict[str, Any]) -> Iterator[tuple[str, tuple[dict[str, Any], dict[str, Any]]]]:
    """(id, (node as drawn, its sheet)) of every node, those of subgraphs with "outer:inner" ids. A checked file has no
    subgraph that contains itself."""
    definitions = _definitions(data)

    def walk(sheet: dict[str, Any], prefix: str) -> Iterator[tuple[str, tuple[dict[str, Any], dict[str, Any]]]]:
        for node in sheet.get("nodes") or []:
            yield f'{prefix}{node["id"]}', (node, sheet)
            if node["type"] in definitions:
                yield from walk(definitions[node["type"]], f'{prefix}{node["id"]}:')

    return walk(data, "")


def _stages(data: dict[str, Any], graph: Graph, names: dict[str, str]) -> list[Stage]:
    """The subgraphs of the canvas. A stage ends with the nodes inside whose outputs leave it or go nowhere."""
    stages, definitions = [], _definitions(data)
    for host in data.get("nodes", []):
        sheet = definitions.get(host["type"])
        if sheet is None:
            continue
        prefix = f'{host["id"]}:'
        inside = [one for one in graph.nodes if one.startswith(prefix)]
        taken = {link.node for one in inside for _, link in graph.nodes[one].links()}
        leaving = {f'{prefix}{link["origin_id"]}' for link in sheet["links"] if str(link["target_id"]) == "-20"}
        wires = {link["id"]: link for link in sheet["links"]}
        inner = {str(node["id"]): node for node in sheet["nodes"]}
        shows: dict[str, list[str]] = {}
        for entry in sheet["inputs"]:
            for wire in (wires[one] for one in entry.get("linkIds") or []):
                slot = inner[str(wire["target_id"])]["inputs"][wire["target_slot"]]
                full = f'{prefix}{wire["target_id"]}'
                if slot.get("widget") and full in names and not isinstance(graph.nodes[full].inputs.get(slot["name"]),
                                                                           Link):
                    shows.setdefault(entry["name"], []).append(f'{names[full]}.{slot["name"]}')
        ends = [names[one] for one in inside if one in leaving or one not in taken]
        keeps = [names[one] for one in inside if names[one] not in ends and is_outside(graph.nodes[one].type)]
        stages.append(Stage(sheet["name"], ends, {key: tuple(places) for key, places in shows.items()}, keeps,
                            sheet.get("description", "")))
    return stages


def _names(graph: Graph, titles: dict[str, str]) -> dict[str, str]:
    """A name in snake case for each node, from its type, or from its title if several have that type."""
    kinds = {one: _snake(node.type.removeprefix("Distill3D_")) for one, node in graph.nodes.items()}
    names: dict[str, str] = {}
    for one in sorted(graph.nodes, key=_order):
        wanted = kinds[one]
        if list(kinds.values()).count(wanted) > 1 and titles.get(one):
            wanted = _snake(titles[one])[:40].strip("_") or wanted
        wanted = f"stage_{wanted}" if wanted[0].isdigit() else wanted
        taken, number = wanted, 1
        while taken in names.values():
            number += 1
            taken = f"{wanted}_{number}"
        names[one] = taken
    return names


def _snake(text: str) -> str:
    text = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", text)
    return re.sub(r"\W+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text)).strip("_").lower()


def _inputs(graph: Graph, one: str, names: dict[str, str], registry: Registry) -> dict[str, Any]:
    """Wires, and values that differ from the defaults."""
    node, known = graph.nodes[one], schema.inputs_of(registry[graph.nodes[one].type])
    inputs: dict[str, Any] = {}
    for name in [*known, *(extra for extra in node.inputs if extra not in known)]:
        value = node.inputs.get(name)
        if isinstance(value, Link):
            outputs = [slot.display_name or slot.id
                       for slot in schema.outputs_of(registry[graph.nodes[value.node].type])]
            is_clear = value.slot < len(outputs) and outputs.count(outputs[value.slot]) == 1
            inputs[name] = Wire(names[value.node],
                                0 if not value.slot else outputs[value.slot] if is_clear else value.slot)
        elif name in node.inputs and (name not in known or value != schema.default_of(known[name])):
            inputs[name] = value
    return inputs


def _group(data: dict[str, Any], drawn: dict[str, Any] | None) -> str:
    """The title of the group frame that contains the node's corner."""
    for group in (data.get("groups") or []) if drawn else []:
        left, top, width, height = group["bounding"]
        if left <= drawn["pos"][0] <= left + width and top <= drawn["pos"][1] <= top + height:
            return group["title"]
    return ""


def as_python(method: Method) -> str:
    """The source of a file of workflows/methods."""
    groups = {title: f"GROUP_{number}" for number, title in enumerate(method.groups, 1)}
    lines = [*_title(method), "from ..description import Method, Wire, node", ""]
    lines += [f"{name} = {_text(title)}" for title, name in groups.items()]
    lines += ["", "METHOD = Method(", "    nodes={"]
    lines += [f'        "{name}": {_node(one, groups)},' for name, one in method.nodes.items()]
    lines += ["    },", f"    groups=({', '.join(groups.values())}{',' if len(groups) == 1 else ''}),"]
    return "\n".join([*lines, *_notes(method), ")", ""])


def difference(method: Method, base: Method, name: str) -> str:
    """The source of a file of workflows/methods that writes `method` as a difference from `base`,
    workflows/methods/name. Nodes are matched by their names. A node whose type, title or group differs is written
    anew."""
    def is_kept(one: str) -> bool:
        ours, theirs = method.nodes[one], base.nodes.get(one)
        return theirs is not None and (ours.type, ours.title, ours.group) == (theirs.type, theirs.title, theirs.group)

    numbers = {f"{one}.{key}": described.inputs.get(key) for one, described in method.nodes.items() if is_kept(one)
               for key in {**base.nodes[one].inputs, **described.inputs}
               if described.inputs.get(key) != base.nodes[one].inputs.get(key)}
    own = {one: described for one, described in method.nodes.items() if not is_kept(one)}
    groups = {title: f"GROUP_{number}" for number, title in enumerate(method.groups, 1)}
    used = {title: name for title, name in groups.items()
            if list(method.groups) != list(base.groups) or title in {one.group for one in own.values()}}
    without = [one for one in base.nodes if one not in method.nodes]
    lines = [*_title(method), "from ..description import Wire, node", f"from .{name} import METHOD as BASE", ""]
    lines += [f"{constant} = {_text(title)}" for title, constant in used.items()]
    lines += ["", "METHOD = BASE.differing("]
    lines += [f"    without={json.dumps(without)},"] if without else []
    lines += ["    numbers={", *(f'        "{place}": {_value(value)},' for place, value in numbers.items()), "    },"]
    lines += ["    nodes={", *(f'        "{one}": {_node(described, groups)},' for one, described in own.items()),
              "    },"]
    if list(method.groups) != list(base.groups):
        lines += [f"    groups=({', '.join(groups.values())}{',' if len(groups) == 1 else ''}),"]
    return "\n".join([*lines, *_notes(method), ")", ""])


def _title(method: Method) -> list[str]:
    first = re.search(r"^#+\s*(.*)$", method.notes[0], re.MULTILINE) if method.notes else None
    return [f'"""{(first[1] if first else "A workflow").strip()}."""']


def _notes(method: Method) -> list[str]:
    return ["    notes=(", *(f'        """\\\n{_escaped(note)}""",' for note in method.notes), "    ),"]


def _node(one: Described, groups: dict[str, str]) -> str:
    parts = [json.dumps(one.type), *([f"titled={_text(one.title)}"] if one.title else []),
             *([f"within={groups[one.group]}"] if one.group else []),
             *(f"{name}={_value(value)}" for name, value in one.inputs.items())]
    lines, line = [], "node("
    for number, part in enumerate(parts):
        piece = part + (")" if number == len(parts) - 1 else ", ")
        if len(line) + len(piece.split("\n")[0]) + 28 > WIDTH and line.strip() != "node(":
            lines.append(line.rstrip())
            line = " " * 17
        line += piece
    return "\n".join([*lines, line])


def _value(value: Any) -> str:
    if isinstance(value, Wire):
        return f'Wire("{value.node}")' if value.output == 0 else f'Wire("{value.node}", {_value(value.output)})'
    return _text(value) if isinstance(value, str) else repr(value)  # None: the default again


def _text(text: str) -> str:
    if "\n" in text and not text.endswith('"'):
        return f'"""{_escaped(text)}"""'
    return json.dumps(text, ensure_ascii=False)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
