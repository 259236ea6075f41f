"""Checks a graph before it runs and reports the first error."""
from __future__ import annotations

import graphlib
import heapq
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..nodes.core.errors import DistillError
from . import schema
from .graph import Graph, GraphNode, Link
from .schema import Registry


def class_of(node: GraphNode, registry: Registry) -> type:
    """The class of a node. Raises DistillError with similar names if there is none."""
    if node.type in registry:
        return registry[node.type]
    names = {one: key for key, entry in registry.items() for one in (key, schema.display_name(entry))}
    raise DistillError(f'{node.label(registry)}: no node of type "{node.type[:80]}" is known here'
                       f"{schema.close_to(node.type, names)}. It may belong to another pack, which runs in ComfyUI "
                       'only: mute or remove it. "distill3d list" shows every node.')


def checked(graph: Graph, registry: Registry) -> Graph:
    """The graph with each value converted to its widget's type and missing values set to defaults.

    Raises DistillError for an unknown node type, an unknown or missing input, a wire whose source does not exist or
    has the wrong type, a value that its widget does not accept, and a cycle of wires.
    """
    nodes = {node_id: replace(node, inputs=_inputs(node, graph, registry)) for node_id, node in graph.nodes.items()}
    result = replace(graph, nodes=nodes)
    needed_order(result, registry, list(nodes))
    return result


def _inputs(node: GraphNode, graph: Graph, registry: Registry) -> Mapping[str, Any]:
    node_class, label = class_of(node, registry), node.label(registry)
    known = schema.inputs_of(node_class)
    values = {}
    for name, value in node.inputs.items():
        if name not in known:
            if schema.is_lenient(node_class):
                continue
            raise DistillError(f'{label}: there is no input "{str(name)[:80]}"{schema.close_to(name, known)}. '
                               f"Inputs are: {', '.join(known) or 'none'}.")
        if isinstance(value, Link):
            _check_link(label, known[name], value, graph, registry)
            values[name] = value
        elif schema.widget_type(known[name]) is None:
            raise DistillError(f'{label}: "{name}" needs a wire of type {known[name].get_io_type()}, '
                               f"but the file gives a value. Connect it.")
        else:
            values[name] = _value(label, known[name], value)
    for name, entry in known.items():
        if name in values or entry.optional:
            continue
        if schema.widget_type(entry) is None or (entry.default is None and schema.widget_type(entry) != "COMBO"):
            raise DistillError(f'{label}: the required input "{name}" ({entry.get_io_type()}) is missing. '
                               + ("Connect it." if schema.widget_type(entry) is None else "Give it a value."))
        values[name] = _value(label, entry, schema.default_of(entry))
    return values


def _value(label: str, entry: Any, value: Any) -> Any:
    try:
        return schema.plain_value(entry, value)
    except DistillError as error:
        raise DistillError(f"{label}: {error}") from None


def _check_link(label: str, entry: Any, link: Link, graph: Graph, registry: Registry) -> None:
    if link.node not in graph.nodes:
        raise DistillError(f'{label}: "{entry.id}" is wired to node #{link.node[:40]}, which does not exist. '
                           "Connect it again.")
    source = graph.nodes[link.node]
    outputs = schema.outputs_of(class_of(source, registry))
    if not 0 <= link.slot < len(outputs):
        raise DistillError(f'{label}: "{entry.id}" is wired to output {link.slot} of {source.label(registry)}, '
                           f"which has {len(outputs)}. Connect it again.")
    if not schema.may_connect(outputs[link.slot], entry):
        raise DistillError(f'{label}: "{entry.id}" takes {entry.get_io_type()}, but {source.label(registry)} gives '
                           f"{outputs[link.slot].get_io_type()}.")


def needed_order(graph: Graph, registry: Registry, targets: list[str]) -> list[str]:
    """Ids of the nodes that `targets` need, in topological order. Raises DistillError naming a cycle.

    Among nodes that are ready, the quick ones come first: a missing image then stops the run before hours of
    optimisation, and a finished stage is saved before the next one begins.
    """
    needed: dict[str, set[str]] = {}
    waiting = list(targets)
    while waiting:
        node_id = waiting.pop()
        if node_id not in needed:
            needed[node_id] = {link.node for _, link in graph.nodes[node_id].links()}
            waiting.extend(needed[node_id])
    sorter = graphlib.TopologicalSorter(needed)
    try:
        sorter.prepare()
    except graphlib.CycleError as error:
        circle = " -> ".join(graph.nodes[node_id].label(registry) for node_id in error.args[1])
        raise DistillError(f"The wires run in a circle: {circle}. A node cannot wait for its own result.") from None
    place = {node_id: number for number, node_id in enumerate(graph.nodes)}
    ready: list[tuple[bool, int, str]] = []
    order: list[str] = []

    def queue() -> None:
        for node_id in sorter.get_ready():
            heapq.heappush(ready, (_is_long(registry[graph.nodes[node_id].type]), place[node_id], node_id))

    queue()
    while ready:
        order.append(heapq.heappop(ready)[2])
        sorter.done(order[-1])
        queue()
    return order


def _is_long(node_class: type) -> bool:
    entry = schema.schema_of(node_class)
    return bool(entry.not_idempotent or entry.has_intermediate_output)
