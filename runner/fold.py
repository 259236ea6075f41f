"""Draws a method that has stages: the canvas holds a short row of subgraphs, each with the wiring of one stage.

On the canvas stages descend to the right. What several of them need (prompts, models, pictures) stands lowest at the
left, so that its wires pass below the first stages and not behind them. Inside a stage, nodes stand in columns, as
layout.py places them.
"""
from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..nodes.core.errors import DistillError
from ..workflows.description import Method, Stage, is_outside
from . import layout, schema
from .graph import Graph, Link
from .layout import COLUMN_GAP, NOTE_WIDTH, ROW_GAP, SLOT, TITLE, WIDGET, Box
from .schema import Registry

INPUT, OUTPUT = -10, -20  # of a subgraph's own sockets
NAMESPACE = uuid.UUID("3d5f3a0e-5d57-5a0b-9d1e-6d697374696c")
WIDTH, GAP = 350, 80
STAGE_COLORS = {"color": "#223", "bgcolor": "#335"}
OPTIMIZE = "Distill3D_Optimize"


@dataclass
class Socket:
    """An input or output of a stage. source: what the canvas wires into it; targets: (node, input) inside."""

    name: str
    type: str
    source: Link | None = None
    value: Any = None
    is_widget: bool = False
    targets: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Part:
    """A stage while it is drawn: its host's number, members, and sockets."""

    stage: Stage
    number: int
    graph: Graph
    inputs: list[Socket]
    outputs: list[Socket]  # source: the node inside
    at: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (0, 0)

    @property
    def id(self) -> str:
        return str(self.number)


def to_ui(method: Method, graph: Graph, numbers: Mapping[str, str], registry: Registry,
          models: Mapping[str, Sequence[Mapping[str, str]]], name: str) -> dict[str, Any]:
    """The workflow in UI format. method: gathered; graph: its checked graph, whose ids are numbers[node name]; name: of
    the method, from which the ids of its subgraphs follow.

    Deterministic. Raises DistillError for a widget that is shown but does not exist, or that has several values.
    """
    members = {one.title: [numbers[key] for key, each in method.nodes.items() if each.stage == one.title]
               for one in method.stages}
    first = len(graph.nodes) + 1
    parts = [_part(one, first + place, members[one.title], graph, numbers, registry)
             for place, one in enumerate(method.stages)]
    home = {one: part for part in parts for one in part.graph.nodes}
    for part in parts:
        for node in graph.nodes.values():
            for _, link in node.links():
                if link.node in part.graph.nodes and home.get(node.id) is not part:
                    _output(part, link, graph, registry)
    inside = {numbers[key]: one for key, one in method.nodes.items()}
    sheet = _canvas(parts, home, graph, registry, method, models, inside)
    sheet["definitions"] = {"subgraphs": [_definition(part, graph, registry, method, models, inside, name)
                                          for part in parts]}
    for drawn in sheet["nodes"]:
        if drawn["type"] in members:
            drawn["type"] = stage_id(name, drawn["type"])
    return sheet


def stage_id(*parts: str) -> str:
    """A uuid that follows from names."""
    return str(uuid.uuid5(NAMESPACE, "/".join(parts)))


def _part(stage: Stage, number: int, members: list[str], graph: Graph, numbers: Mapping[str, str],
          registry: Registry) -> Part:
    inner = Graph({one: graph.nodes[one] for one in members}, graph.name)
    part = Part(stage, number, inner, [], [])
    wired: dict[Link, Socket] = {}
    for node in inner.nodes.values():
        for entry, link in node.links():
            if link.node in inner.nodes:
                continue
            if link not in wired:
                kind = schema.outputs_of(registry[graph.nodes[link.node].type])[link.slot].get_io_type()
                wired[link] = Socket(entry, kind, link)
                shown = {one.id: one for one in schema.widgets_of(registry[node.type])}.get(entry)
                if shown is not None:  # the editor shows a widget for it, and counts its value
                    wired[link].is_widget, wired[link].value = True, schema.default_of(shown)
            wired[link].targets.append((node.id, entry))
    sockets = list(wired.values())
    for socket in sockets:  # what another stage made keeps the name that it has there
        if not is_outside(graph.nodes[socket.source.node].type):
            slot = schema.outputs_of(registry[graph.nodes[socket.source.node].type])[socket.source.slot]
            socket.name = slot.display_name or slot.id or socket.name
    for socket in sockets:  # two models of one stage are told apart by their nodes' names
        if sum(one.name == socket.name for one in sockets) > 1:
            socket.name = graph.nodes[socket.source.node].name(registry).lower()
    part.inputs = _distinct(sockets) + [_shown(key, places, graph, numbers, registry, stage)
                                        for key, places in stage.shown().items()]
    for end in stage.ends:
        if schema.is_lenient(registry[graph.nodes[numbers[end]].type]):
            continue  # core's savers only pass on what they are given
        for slot in range(len(schema.outputs_of(registry[graph.nodes[numbers[end]].type]))):
            _output(part, Link(numbers[end], slot), graph, registry)
    return part


def _shown(key: str, places: Sequence[str], graph: Graph, numbers: Mapping[str, str], registry: Registry,
           stage: Stage) -> Socket:
    targets, values, kinds = [], [], []
    for place in places:
        node, _, entry = place.partition(".")
        one = graph.nodes[numbers[node]]
        found = {each.id: each for each in schema.widgets_of(registry[one.type])}.get(entry)
        if found is None or isinstance(one.inputs.get(entry), Link):
            raise DistillError(f'Stage "{stage.title}": "{place}" is no widget that could be shown.')
        targets.append((one.id, entry))
        values.append(one.inputs.get(entry, schema.default_of(found)))
        kinds.append(found.get_io_type())
    if any(value != values[0] for value in values):
        raise DistillError(f'Stage "{stage.title}": "{key}" shows several widgets with different values: {values}.')
    return Socket(key, kinds[0], None, values[0], True, targets)


def _output(part: Part, link: Link, graph: Graph, registry: Registry) -> None:
    if any(one.source == link for one in part.outputs):
        return
    slot = schema.outputs_of(registry[graph.nodes[link.node].type])[link.slot]
    part.outputs.append(Socket(slot.display_name or slot.id or slot.get_io_type(), slot.get_io_type(), link))
    _distinct(part.outputs)


def _distinct(sockets: list[Socket]) -> list[Socket]:
    taken: set[str] = set()
    for socket in sockets:
        number, name = 1, socket.name
        while socket.name in taken:
            number += 1
            socket.name = f"{name} {number}"
        taken.add(socket.name)
    return sockets


# The canvas.

def _canvas(parts: list[Part], home: Mapping[str, Part], graph: Graph, registry: Registry, method: Method,
            models: Mapping[str, Any], inside: Mapping[str, Any]) -> dict[str, Any]:
    outer = {one: node for one, node in graph.nodes.items() if one not in home}

    def moved(link: Link) -> Link:
        """The same wire between nodes of the canvas."""
        part = home.get(link.node)
        if part is None:
            return link
        return Link(part.id, next(slot for slot, one in enumerate(part.outputs) if one.source == link))

    boxes = layout.boxes_of(Graph(outer), registry)
    into = {one: [moved(link).node for _, link in node.links()] for one, node in outer.items()}
    into |= {part.id: [moved(one.source).node for one in part.inputs if one.source] for part in parts}
    note = _note_height(method.notes[0]) + ROW_GAP + TITLE if method.notes else 0
    _place(boxes, parts, into, note)
    links: list[list[Any]] = []

    def connect(value: Any, number: int, slot: int, name: str) -> int | None:
        if not isinstance(value, Link):
            return None
        source = moved(value)
        kind = schema.outputs_of(registry[graph.nodes[value.node].type])[value.slot].get_io_type()
        links.append([len(links) + 1, int(source.node), source.slot, number, slot, kind])
        return len(links)

    drawn = {one: layout.ui_node(box, order, registry, inside[one].title, connect)
             for order, (one, box) in enumerate(boxes.items())}
    layout.offer({one: files for one, files in models.items() if one in outer}, drawn, graph, registry)
    nodes = [*drawn.values(), *(_host(part, len(drawn) + order, connect) for order, part in enumerate(parts))]
    first = max(node["id"] for node in nodes) + 1
    notes = _notes(method.notes, first, [(box.at, box.room) for box in boxes.values()]
                   + [(part.at, part.size[1]) for part in parts])
    layout.fill_outputs(nodes, links)
    return {"last_node_id": first + len(notes) - 1, "last_link_id": len(links), "nodes": nodes + notes,
            "links": links, "groups": [], "config": {}, "extra": {"ds": _view(nodes, notes)}, "version": 0.4}


def _host(part: Part, order: int, connect: Any) -> dict[str, Any]:
    inputs = [{"name": one.name, "type": one.type, "link": connect(one.source, part.number, slot, one.name),
               **({"widget": {"name": one.name}} if one.is_widget else {})} for slot, one in enumerate(part.inputs)]
    return {"id": part.number, "type": part.stage.title, "pos": list(part.at), "size": list(part.size), "flags": {},
            "order": order, "mode": 0, "inputs": inputs,
            "outputs": [{"name": one.name, "type": one.type, "links": []} for one in part.outputs],
            "properties": {"cnr_id": "distill3d"},
            "widgets_values": [one.value for one in part.inputs if one.is_widget], **STAGE_COLORS}


def _place(boxes: dict[str, Box], parts: list[Part], into: Mapping[str, list[str]], note: int) -> None:
    """into: {node or stage: the nodes and stages whose outputs it takes}; note: height of the first note, which stands
    above the first column where there is room, otherwise below it. A stage may grow downwards while it runs: below it
    is nothing."""
    rooms = {one: (box.size[0], box.room) for one, box in boxes.items()} | {part.id: _size(part) for part in parts}
    spine = {part.id for part in parts if any(one.type == OPTIMIZE for one in part.graph.nodes.values())}
    spine = spine or {part.id for part in parts}
    after = set(spine)  # everything downstream
    for _ in range(len(into)):
        after |= {one for one, sources in into.items() if after & set(sources)}
    row = [part.id for part in parts if part.id in after]
    before, last = [one for one in into if one not in after], [one for one in boxes if one in after]
    tops = {row[0]: 0}  # a stage that takes what stands before the stage before it is below that stage
    for one, other in zip(row[1:], row):
        tops[one] = tops[other] + (rooms[other][1] + ROW_GAP + TITLE if set(into[one]) - {other} else 0)
    columns = _columns(before, into)
    lowest = max((tops[one] for one in row if set(into[one]) & set(before)), default=0)
    passing = any(set(members) & set(into[one]) for members in columns[:-1] for one in (*row, *columns[-1]))
    at, x, y, bottom = {}, 0, max(note, lowest) if lowest else 0, 0
    for members in columns:
        top, width = y, max(rooms[one][0] for one in members)
        for one in members:  # of one width, or wires of a narrow node would run behind the wider ones
            at[one], rooms[one] = (x, y), (width, rooms[one][1])
            y += rooms[one][1] + ROW_GAP + TITLE
        bottom = max(bottom, y)
        x += (width if x else max(width, NOTE_WIDTH)) + GAP
        if not passing:
            y = min(top, lowest)
    x = max(x, NOTE_WIDTH + GAP) + GAP  # wires turn here
    for one in row:
        at[one] = (x, tops[one])
        x += rooms[one][0] + GAP
    height = sum(rooms[one][1] + ROW_GAP + TITLE for one in last)
    y = max(0, min(tops[row[-1]], bottom - height))
    for one in last:
        at[one] = (x, y)
        y += rooms[one][1] + ROW_GAP + TITLE
    for one, box in boxes.items():
        box.at, box.size = at[one], (rooms[one][0], box.size[1])
    for part in parts:
        part.at, part.size = at[part.id], rooms[part.id]


def _size(part: Part) -> tuple[int, int]:
    widgets = [one for one in part.inputs if one.is_widget]
    rows = max(len(part.inputs) - len(widgets), len(part.outputs))
    texts = sum(one.name in ("text", "not in the picture") for one in widgets)
    # Nodes 2.0 has taller widgets, and a line to enter the subgraph.
    return WIDTH, SLOT * rows + (WIDGET + 5) * (len(widgets) - texts) + 90 * texts + 46


def _columns(before: list[str], into: Mapping[str, list[str]]) -> list[list[str]]:
    """What stands before the stages, each as near to them as it can; prompts and pictures first."""
    takers = {one: [other for other in before if one in into[other]] for one in before}
    steps: dict[str, int] = {}

    def steps_of(one: str) -> int:
        if one not in steps:
            steps[one] = max((steps_of(other) + 1 for other in takers[one]), default=0)
        return steps[one]

    longest = max(map(steps_of, before), default=-1)
    return [[one for one in before if steps[one] == longest - column] for column in range(longest + 1)]


def _notes(texts: Sequence[str], first: int, boxes: Sequence[tuple[tuple[int, int], int]]) -> list[dict[str, Any]]:
    """The first note at the left, above or below the first column; the others in a row below everything. boxes: place
    and height."""
    column = [(top, top + height + ROW_GAP + TITLE) for (left, top), height in boxes if left == 0]
    y = 0 if column and min(column)[0] >= _note_height(texts[0] if texts else "") else max(
        (bottom for _, bottom in column), default=0)
    places, x = [(0, y)], 0
    below = max([top + height for (_, top), height in boxes] + [y + _note_height(one) for one in texts[:1]], default=0)
    for _ in texts[1:]:
        places.append((x, below + ROW_GAP + 2 * TITLE))
        x += NOTE_WIDTH + 30
    return [{"id": number, "type": "MarkdownNote", "pos": list(place), "size": [NOTE_WIDTH, _note_height(text)],
             "flags": {}, "order": number, "mode": 0, "inputs": [], "outputs": [], "properties": {},
             "widgets_values": [text]} for (number, text), place in zip(enumerate(texts, first), places)]


def _note_height(text: str) -> int:
    plain = re.sub(r"\]\([^)]*\)", "", text)
    return max(90, 30 + 19 * sum(1 + len(line) // 62 for line in plain.splitlines()) + 200 * plain.count("!["))


# The canvas on a screen of 1600 x 900, and its edges that the editor's bars cover.
WINDOW, MARGIN = (1460, 740), (90, 110)
READABLE = 0.6


def _view(nodes: Sequence[Mapping[str, Any]], notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Where the editor opens: everything but the later notes if that can be read, otherwise from the upper left."""
    seen = [*nodes, *notes[:1]]
    left, top = (min(node["pos"][axis] for node in seen) for axis in (0, 1))
    right, bottom = (max(node["pos"][axis] + node["size"][axis] for node in seen) for axis in (0, 1))
    fitting = min(WINDOW[0] / (right - left), WINDOW[1] / (bottom - top + TITLE))
    scale = round(min(1.0, max(READABLE, fitting)), 3)
    return {"scale": scale, "offset": [round(MARGIN[0] / scale - left), round(MARGIN[1] / scale - top + TITLE)]}


# The inside of a stage.

def _definition(part: Part, graph: Graph, registry: Registry, method: Method, models: Mapping[str, Any],
                inside: Mapping[str, Any], name: str) -> dict[str, Any]:
    boxes = layout.boxes_of(part.graph, registry)
    titles = [title for title in method.groups if any(inside[one].group == title for one in boxes)]
    bands = [(title, [one for one in boxes if inside[one].group == title]) for title in titles]
    layout.place(boxes, [*bands, ("", [one for one in boxes if not inside[one].group])])
    links: list[dict[str, Any]] = []
    places = {target: place for place, one in enumerate(part.inputs) for target in one.targets}
    used: dict[int, list[int]] = {}

    def add(origin: int, origin_slot: int, target: int, slot: int, kind: str) -> int:
        links.append({"id": len(links) + 1, "origin_id": origin, "origin_slot": origin_slot, "target_id": target,
                      "target_slot": slot, "type": kind})
        return len(links)

    def connect(value: Any, number: int, slot: int, entry: str) -> int | None:
        place = places.get((str(number), entry))
        if place is not None:
            made = add(INPUT, place, number, slot, part.inputs[place].type)
            used.setdefault(place, []).append(made)
            return made
        if not isinstance(value, Link):
            return None
        kind = schema.outputs_of(registry[graph.nodes[value.node].type])[value.slot].get_io_type()
        return add(int(value.node), value.slot, number, slot, kind)

    drawn = {one: layout.ui_node(box, order, registry, inside[one].title, connect)
             for order, (one, box) in enumerate(boxes.items())}
    layout.offer({one: files for one, files in models.items() if one in boxes}, drawn, graph, registry)
    leaving = [add(int(one.source.node), one.source.slot, OUTPUT, slot, one.type)
               for slot, one in enumerate(part.outputs)]
    layout.fill_outputs([*drawn.values()], [[one[key] for key in ("id", "origin_id", "origin_slot")] for one in links
                                            if one["origin_id"] != INPUT])
    left, right = min(box.at[0] for box in boxes.values()), max(box.at[0] + box.size[0] for box in boxes.values())
    top = min(box.at[1] for box in boxes.values())
    rows, ways = len(part.inputs), len(part.outputs)
    fed_at = [boxes[node].at[1] for one in part.inputs for node, _ in one.targets] or [top]
    entry = (left - 2 * COLUMN_GAP - 140, round(sum(fed_at) / len(fed_at)))
    left_at = [boxes[one.source.node].at[1] for one in part.outputs] or [top]
    leave = (right + 2 * COLUMN_GAP, round(sum(left_at) / len(left_at)))
    return {"id": stage_id(name, part.stage.title), "version": 1,
            "state": {"lastGroupId": len(bands), "lastNodeId": max(int(one) for one in boxes),
                      "lastLinkId": len(links), "lastRerouteId": 0}, "revision": 0, "config": {},
            "name": part.stage.title,
            "inputNode": {"id": INPUT, "bounding": [*entry, 140, 40 + SLOT * rows]},
            "outputNode": {"id": OUTPUT, "bounding": [*leave, 140, 40 + SLOT * ways]},
            "inputs": [{"id": stage_id(name, part.stage.title, "in", one.name), "name": one.name, "type": one.type,
                        "linkIds": used.get(place, []), "pos": [entry[0] + 120, entry[1] + 20 + SLOT * place]}
                       for place, one in enumerate(part.inputs)],
            "outputs": [{"id": stage_id(name, part.stage.title, "out", one.name), "name": one.name, "type": one.type,
                         "linkIds": [leaving[place]], "pos": [leave[0] + 20, leave[1] + 20 + SLOT * place]}
                        for place, one in enumerate(part.outputs)],
            "widgets": [], "nodes": list(drawn.values()),
            "groups": [layout.frame(title, [boxes[one] for one in own], number)
                       for number, (title, own) in enumerate(bands, 1)],
            "links": links, "extra": {},
            **({"category": "Distill3D", "description": part.stage.about} if part.stage.about else {})}
