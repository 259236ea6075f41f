"""Reads the editor's file format (version 0.4) as a graph of the nodes that would run.

This resolves what the editor resolves before it queues a run: widget values by position, Reroute and Primitive
nodes, muted and bypassed nodes, and subgraphs. Ids of nodes inside a subgraph are "outer:inner", as in the host.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..nodes.core.errors import DistillError
from . import schema
from .check import class_of
from .graph import GraphNode, Link
from .schema import Registry
from .ui_schema import MAX_DEPTH, check_nodes, check_ui

MUTED, BYPASSED = 2, 4
NOTES = ("Note", "MarkdownNote")
_SUBGRAPH_INPUT, _SUBGRAPH_OUTPUT = "-10", "-20"


@dataclass(frozen=True)
class _Wire:
    origin: str
    origin_slot: int
    target: str
    target_slot: int


@dataclass(frozen=True)
class _Value:
    """A value from a wire: of a Primitive node, or of a widget that a subgraph shows."""

    value: Any


class _Scope:
    """One canvas: the workflow, or one use of a subgraph (`outer`: the canvas and the node that uses it)."""

    def __init__(self, sheet: Mapping[str, Any], definitions: Mapping[str, Any], prefix: str = "",
                 outer: "tuple[_Scope, dict] | None" = None, chain: tuple[str, ...] = ()):
        self.sheet, self.definitions, self.prefix, self.outer, self.chain = sheet, definitions, prefix, outer, chain
        self.wires = {key: wire for key, wire in map(_wire, sheet.get("links") or [])}
        self.leaving: dict[int, Any] = {}  # the wire into each output of a subgraph
        for key, wire in self.wires.items():
            if wire.target == _SUBGRAPH_OUTPUT:
                self.leaving.setdefault(wire.target_slot, key)
        self._inside: dict[str, _Scope] = {}
        self.nodes: dict[str, dict] = {}
        for node in sheet.get("nodes") or []:
            if str(node["id"]) in self.nodes:
                raise DistillError(f'The workflow is damaged: two nodes have the id {node["id"]}.')
            self.nodes[str(node["id"])] = node

    def inside(self, node: dict) -> "_Scope":
        """The canvas of a subgraph node."""
        kind = node["type"]
        if kind in self.chain:
            raise DistillError(f'The workflow is damaged: the subgraph "{self.definitions[kind].get("name", kind)}" '
                               "contains itself.")
        if len(self.chain) >= MAX_DEPTH:
            raise DistillError(f"The workflow has subgraphs in subgraphs, more than {MAX_DEPTH} deep. Unpack some.")
        key = str(node["id"])
        if key not in self._inside:
            self._inside[key] = _Scope(self.definitions[kind], self.definitions, f"{self.prefix}{key}:", (self, node),
                                       (*self.chain, kind))
        return self._inside[key]

    def name(self, node: dict) -> str:
        return f'{node.get("title") or node["type"]} (#{self.prefix}{node["id"]})'


def from_ui(data: Mapping[str, Any], registry: Registry) -> dict[str, GraphNode]:
    """The nodes of a workflow in UI format that would run, by id."""
    check_ui(data)
    definitions = {str(one.get("id")): one for one in (data.get("definitions") or {}).get("subgraphs") or []}
    return {node.id: node for node in _nodes(_Scope(data, definitions), registry, itertools.count(1))}


def _nodes(scope: _Scope, registry: Registry, count: Iterator[int]) -> Iterator[GraphNode]:
    for node in scope.nodes.values():
        check_nodes(next(count))
        if node.get("mode") in (MUTED, BYPASSED) or node["type"] in ("Reroute", "PrimitiveNode", *NOTES):
            continue
        if node["type"] in scope.definitions:
            yield from _nodes(scope.inside(node), registry, count)
        else:
            yield _node(scope, node, registry)


def _node(scope: _Scope, node: dict, registry: Registry) -> GraphNode:
    title = node.get("title") or ""
    node_class = class_of(GraphNode(f'{scope.prefix}{node["id"]}', node["type"], {}, title), registry)
    inputs = widget_values(node_class, node.get("widgets_values"))
    other_names = schema.known_names(node_class)
    for entry in node.get("inputs") or []:
        if entry.get("link") is None:
            continue
        source = _source(scope, entry["link"], f'"{entry.get("name")}" of {scope.name(node)}')
        if source is not None:
            inputs[other_names.get(entry.get("name"), entry.get("name"))] = (
                source.value if isinstance(source, _Value) else source)
    return GraphNode(f'{scope.prefix}{node["id"]}', node["type"], inputs, title)


def widget_values(node_class: type, saved: Any) -> dict[str, Any]:
    """The widgets of a node by name. saved: `widgets_values`, a list by position or an object by name.

    A widget without a value in the file gets its default: it was appended to the schema later. Values beyond the last
    widget (buttons, viewers) are ignored.
    """
    if isinstance(saved, Mapping):
        return {entry.id: saved[entry.id] if saved.get(entry.id) is not None else schema.default_of(entry)
                for entry in schema.widgets_of(node_class)}
    rest = list(saved or [])
    values = {}
    for entry in schema.widgets_of(node_class):
        value = rest.pop(0) if rest else None
        values[entry.id] = schema.default_of(entry) if value is None else value
        if schema.has_control(entry) and rest and rest[0] in schema.CONTROL_MODES:
            rest.pop(0)
    return values


def _source(scope: _Scope, wire_id: Any, target: str) -> Link | _Value | None:
    """The source of a wire; None if there is none (the source is muted or has no input itself)."""
    passed = set()
    while True:
        if (scope.prefix, wire_id) in passed:
            raise DistillError(f"The wire to {target} runs in a circle through reroutes or bypassed nodes. Rewire it.")
        passed.add((scope.prefix, wire_id))
        wire = scope.wires.get(wire_id)
        if wire is None or (wire.origin not in scope.nodes and wire.origin != _SUBGRAPH_INPUT):
            raise DistillError(f"The wire to {target} comes from nowhere: "
                               + (f"the file has no link {wire_id}" if wire is None else
                                  f"the file has no node #{scope.prefix}{wire.origin}") + ". Connect it again.")
        if wire.origin == _SUBGRAPH_INPUT:
            if scope.outer is None:
                return None
            name = (scope.sheet.get("inputs") or [])[wire.origin_slot].get("name")
            (scope, box) = scope.outer
            wire_id = _wire_into(box, name, wire.origin_slot)
            if wire_id is None:
                return _shown_value(box, name)
            continue
        node = scope.nodes[wire.origin]
        mode, kind = node.get("mode"), node["type"]
        if mode == MUTED:
            return None
        if mode == BYPASSED or kind == "Reroute":
            wire_id = _bypass(node, wire.origin_slot) if mode == BYPASSED else _first_wire(node)
        elif kind == "PrimitiveNode":
            values = node.get("widgets_values") or [None]
            return _Value(values[0])
        elif kind in scope.definitions:
            scope = scope.inside(node)
            wire_id = scope.leaving.get(wire.origin_slot)
        elif kind in NOTES:
            raise DistillError(f"The wire to {target} comes from a note, which has no outputs. Connect it again.")
        else:
            return Link(f"{scope.prefix}{wire.origin}", wire.origin_slot)
        if wire_id is None:
            return None


def _wire(entry: Any) -> tuple[Any, _Wire]:
    """A link: a list in version 0.4, an object inside subgraphs."""
    try:
        if isinstance(entry, Mapping):
            key, *ends = (entry[name] for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot"))
        else:
            key, *ends = entry[:5]
        origin, origin_slot, target, target_slot = ends
        return key, _Wire(str(origin), int(origin_slot), str(target), int(target_slot))
    except (KeyError, TypeError, ValueError):
        raise DistillError(f'The workflow is damaged: the entry {repr(entry)[:60]} of "links" is not '
                           "[id, from node, slot, to node, slot, type].") from None


def _bypass(node: dict, slot: int) -> Any:
    """The wire that a bypassed node passes to an output: of the input at the same place, or the first of the same
    type."""
    inputs, outputs = node.get("inputs") or [], node.get("outputs") or []
    wanted = str(outputs[slot].get("type")) if slot < len(outputs) else "*"
    across = inputs[slot:slot + 1]
    for entry in across + inputs:
        given = str(entry.get("type"))
        if "*" in (wanted, given) or set(wanted.split(",")) & set(given.split(",")):
            return entry.get("link")
    return None


def _first_wire(node: dict) -> Any:
    return next((entry.get("link") for entry in node.get("inputs") or []), None)


def _wire_into(box: dict, name: str, slot: int) -> Any:
    inputs = box.get("inputs") or []
    for entry in inputs:
        if entry.get("name") == name:
            return entry.get("link")
    return inputs[slot].get("link") if slot < len(inputs) else None


def _shown_value(box: dict, name: str) -> _Value | None:
    """The value that a subgraph node holds for an input that it shows as a widget."""
    shown = [str(entry[1]) if str(entry[0]) == "-1" else None
             for entry in (box.get("properties") or {}).get("proxyWidgets") or []]
    if not shown:
        shown = [entry.get("name") for entry in box.get("inputs") or [] if entry.get("widget")]
    values = box.get("widgets_values")
    if isinstance(values, Mapping):
        return _Value(values[name]) if values.get(name) is not None else None
    place = shown.index(name) if name in shown else None
    if place is None or place >= len(values or []) or values[place] is None:
        return None
    return _Value(values[place])
