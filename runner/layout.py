"""Lays a graph out on the editor's canvas: a graph becomes a workflow file in UI format 0.4.

Columns run from left to right, with each node as close to its consumers as possible. Each group is a band of its own
below the earlier groups in its columns, so that frames contain only their own nodes and nothing overlaps. Notes stand
to the left of the first group, or of everything if there is no room.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..nodes.core.errors import DistillError
from . import schema
from .check import checked
from .graph import Graph, GraphNode, Link
from .schema import Registry
from .workflow_file import read_graph

COLUMN_GAP, ROW_GAP, TITLE, SLOT, WIDGET, TEXT_BOX = 100, 40, 30, 20, 24, 110
# What a node may grow by: Nodes 2.0 has taller widgets and a row for the pack's badge; progress is a line of text.
TALLER_WIDGET, BADGE, PROGRESS = 4, 24, 48
NARROW, WIDE, NOTE_WIDTH = 290, 420, 420
# Pictures, charts and viewers below the widgets, by node type.
SHOWN = {"LoadImage": 300, "PreviewImage": 260, "SaveImage": 260, "SaveAnimatedWEBP": 260, "SaveVideo": 260,
         "SaveGLB": 320, "Preview3D": 400, "Distill3D_Optimize": 420, "Distill3D_SaveAnimation": 260}


@dataclass
class Box:
    node: GraphNode
    number: int
    column: int
    size: tuple[int, int]
    room: int  # height to keep free for it
    at: tuple[int, int] = (0, 0)


def to_ui(api: Mapping[str, Any], registry: Registry | None = None, titles: Mapping[str, str] | None = None,
          groups: Mapping[str, Sequence[str]] | None = None, notes: Sequence[str] = (),
          models: Mapping[str, Sequence[Mapping[str, str]]] | None = None) -> dict[str, Any]:
    """A graph in API format as a workflow in UI format.

    api     {id: {"class_type": ..., "inputs": {name: value or [id, slot]}}}; ids that are not numbers are numbered
    titles  {id: title} of nodes with a title of their own
    groups  {title: [ids]}, from top to bottom; nodes without a group come last, without a frame
    notes   texts (Markdown)
    models  {id: [{"name", "url", "directory"}]} of nodes that load files: the editor offers missing files for
            download. Each name must be a value of the node

    Deterministic. Raises DistillError for a graph that cannot run, an unknown id, a node in two groups, or a model that
    its node does not load.
    """
    registry = schema.default_registry() if registry is None else registry
    graph = checked(read_graph(api, registry), registry)
    bands = bands_of(graph, groups or {})
    boxes = boxes_of(graph, registry)
    _check_ids(titles or {}, graph)
    place(boxes, bands)
    links: list[list[Any]] = []

    def connect(value: Any, number: int, slot: int, name: str) -> int | None:
        if not isinstance(value, Link):
            return None
        source = boxes[value.node]
        kind = schema.outputs_of(registry[source.node.type])[value.slot].get_io_type()
        links.append([len(links) + 1, source.number, value.slot, number, slot, kind])
        return len(links)

    nodes = [ui_node(box, order, registry, (titles or {}).get(box.node.id) or box.node.title, connect)
             for order, box in enumerate(boxes.values())]
    offer(models or {}, dict(zip(boxes, nodes)), graph, registry)
    first = max((box.number for box in boxes.values()), default=0) + 1
    beside = next((members for _, members in bands if members), [])
    nodes += _notes(notes, first, list(boxes.values()), [boxes[one] for one in beside])
    fill_outputs(nodes, links)
    return {"last_node_id": first + len(notes) - 1, "last_link_id": len(links), "nodes": nodes, "links": links,
            "groups": [frame(title, [boxes[one] for one in members], number)
                       for number, (title, members) in enumerate(bands, 1) if title and members],
            "config": {}, "extra": {}, "version": 0.4}


def _check_ids(ids: Any, graph: Graph) -> None:
    for one in ids:
        if str(one) not in graph.nodes:
            raise DistillError(f'Layout: there is no node "{one}"{schema.close_to(str(one), graph.nodes)}.')


def offer(models: Mapping[str, Sequence[Mapping[str, str]]], nodes: Mapping[str, dict[str, Any]], graph: Graph,
           registry: Registry) -> None:
    _check_ids(models, graph)
    for one, files in models.items():
        for file in files:
            if file["name"] not in nodes[one]["widgets_values"]:  # the editor would not offer it
                raise DistillError(f'Layout: {graph.nodes[one].label(registry)} does not load "{file["name"]}".')
        nodes[one]["properties"]["models"] = [{key: file[key] for key in ("name", "url", "directory")}
                                              for file in files]


def bands_of(graph: Graph, groups: Mapping[str, Sequence[str]]) -> list[tuple[str, list[str]]]:
    bands = [(title, [str(one) for one in members]) for title, members in groups.items()]
    grouped = [one for _, members in bands for one in members]
    _check_ids(grouped, graph)
    twice = {one for one in grouped if grouped.count(one) > 1}
    if twice:
        raise DistillError(f'Layout: node "{min(twice)}" is in two groups.')
    return [*bands, ("", [one for one in graph.nodes if one not in grouped])]


def boxes_of(graph: Graph, registry: Registry) -> dict[str, Box]:
    consumers: dict[str, list[str]] = {one: [] for one in graph.nodes}
    for node in graph.nodes.values():
        for _, link in node.links():
            if link.node in consumers:  # otherwise on another sheet
                consumers[link.node].append(node.id)
    steps: dict[str, int] = {}  # nodes between here and the end; a checked graph has no circle

    def steps_to_end(one: str) -> int:
        if one not in steps:
            steps[one] = max((steps_to_end(other) + 1 for other in consumers[one]), default=0)
        return steps[one]

    longest = max(map(steps_to_end, graph.nodes), default=0)
    numeric = all(one.isdecimal() for one in graph.nodes)
    return {one: Box(node, int(one) if numeric else number, longest - steps[one],
                      *size_of(registry[node.type], node.type))
            for number, (one, node) in enumerate(graph.nodes.items(), 1)}


def size_of(node_class: type, kind: str) -> tuple[tuple[int, int], int]:
    """(width, height) and the height to keep free."""
    widgets = schema.widgets_of(node_class)
    texts = sum(bool(entry.multiline) for entry in widgets)
    rows = len(widgets) - texts + sum(map(schema.has_control, widgets))
    slots = max(len(schema.inputs_of(node_class)) - len(widgets), len(schema.outputs_of(node_class)))
    height = SLOT * slots + WIDGET * rows + TEXT_BOX * texts + SHOWN.get(kind, 0) + 16
    shows_progress = bool(schema.schema_of(node_class).hidden) and kind not in SHOWN
    room = height + TALLER_WIDGET * rows + BADGE + PROGRESS * shows_progress
    return (WIDE if texts or kind in SHOWN else NARROW, height), room


def place(boxes: dict[str, Box], bands: list[tuple[str, list[str]]]) -> None:
    columns = max((box.column for box in boxes.values()), default=-1) + 1
    widths = [max(box.size[0] for box in boxes.values() if box.column == column) for column in range(columns)]
    lefts = [sum(widths[:column]) + COLUMN_GAP * column for column in range(columns)]
    free = [0] * columns  # where the next frame may begin
    top = 0
    for _, members in bands:
        own = {column: [boxes[one] for one in members if boxes[one].column == column]
               for column in {boxes[one].column for one in members}}
        if not own:
            continue
        spanned = range(min(own), max(own) + 1)
        bottom = top = max(top, *(free[column] for column in spanned))
        for column, in_column in own.items():
            # One width for all, or wires of a narrow node would run behind the wider ones below it.
            width = max(box.size[0] for box in in_column)
            y = top + TITLE
            for box in in_column:
                box.at, box.size = (lefts[column], y), (width, box.size[1])
                y += box.room + ROW_GAP + TITLE
            bottom = max(bottom, y)
        for column in spanned:
            free[column] = bottom + ROW_GAP + TITLE


def ui_node(box: Box, order: int, registry: Registry, title: str,
            connect: Callable[[Any, int, int, str], int | None]) -> dict[str, Any]:
    """A node as the editor saves it. connect(value, node number, slot, input): the number of the wire into an input,
    None without one."""
    node, node_class = box.node, registry[box.node.type]
    known, widgets = schema.inputs_of(node_class), schema.widgets_of(node_class)
    # Sockets come first and inputs that are widgets too after them, as the editor saves them.
    entries = [entry for entry in known.values() if entry not in widgets] + widgets
    inputs = []
    for slot, entry in enumerate(entries):
        number = connect(node.inputs.get(entry.id), box.number, slot, entry.id)
        inputs.append({"name": entry.id, "type": entry.get_io_type(), "link": number,
                       **({"shape": 7} if entry.optional else {}),
                       **({"widget": {"name": entry.id}} if entry in widgets else {})})
    values: list[Any] = []
    for entry in widgets:
        value = node.inputs.get(entry.id, schema.default_of(entry))
        values.append(schema.default_of(entry) if isinstance(value, Link) else value)
        values += ["fixed"] if schema.has_control(entry) else []
    outputs = [{"name": slot.display_name or slot.id or slot.get_io_type(), "type": slot.get_io_type(), "links": []}
               for slot in schema.outputs_of(node_class)]
    pack = "comfy-core" if schema.is_lenient(node_class) else "distill3d"
    return {"id": box.number, "type": node.type, "pos": list(box.at), "size": list(box.size), "flags": {},
            "order": order, "mode": 0, "inputs": inputs, "outputs": outputs, **({"title": title} if title else {}),
            "properties": {"cnr_id": pack, "Node name for S&R": node.type}, "widgets_values": values}


def fill_outputs(nodes: list[dict[str, Any]], links: list[list[Any]]) -> None:
    by_number = {node["id"]: node for node in nodes}
    for number, source, slot, *_ in links:
        by_number[source]["outputs"][slot]["links"].append(number)


def _notes(texts: Sequence[str], first: int, boxes: Sequence[Box], beside: Sequence[Box]) -> list[dict[str, Any]]:
    lines = [sum(1 + len(line) // 55 for line in text.splitlines()) for text in texts]
    heights = [max(90, 40 + 20 * count) for count in lines]
    bottom = sum(heights) + (ROW_GAP + TITLE) * len(heights)
    left = min((box.at[0] for box in beside), default=0) - NOTE_WIDTH - 2 * COLUMN_GAP
    if any(box.at[0] < left + NOTE_WIDTH + COLUMN_GAP and box.at[1] - 3 * TITLE < bottom for box in boxes):
        left = min(box.at[0] for box in boxes) - NOTE_WIDTH - 2 * COLUMN_GAP
    return [{"id": number, "type": "MarkdownNote",
             "pos": [left, TITLE + sum(heights[:place]) + (ROW_GAP + TITLE) * place],
             "size": [NOTE_WIDTH, heights[place]], "flags": {}, "order": number, "mode": 0, "inputs": [], "outputs": [],
             "properties": {}, "widgets_values": [text]}
            for place, (number, text) in enumerate(zip(range(first, first + len(texts)), texts))]


def frame(title: str, boxes: list[Box], number: int) -> dict[str, Any]:
    left, top = min(box.at[0] for box in boxes), min(box.at[1] for box in boxes)
    right = max(box.at[0] + box.size[0] for box in boxes)
    bottom = max(box.at[1] + box.room for box in boxes)
    # The node's own title stands above its place, the frame's title above that.
    return {"id": number, "title": title, "bounding": [left - 15, top - 2 * TITLE - 5, right - left + 30,
                                                       bottom - top + 2 * TITLE + 20],
            "color": "#3f789e", "font_size": 22, "flags": {}}
