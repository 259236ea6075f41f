"""Workflow files from the descriptions in workflows/methods; see workflows/description.py."""
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..nodes.core.errors import DistillError
from ..nodes.models.published import find_model
from ..workflows.description import Described, Method, Wire
from . import fold, schema
from .check import checked
from .layout import to_ui
from .schema import Registry
from .workflow_file import read_graph

# Colours of the editor: what a person writes is green, what takes the time is blue.
COLORS = {"Distill3D_ViewPrompt": {"color": "#232", "bgcolor": "#353"},
          "Distill3D_Optimize": {"color": "#223", "bgcolor": "#335"}}


def named(method: Method, registry: Registry) -> Method:
    """The same method with its stages gathered, outputs by number and without values that are defaults, as
    describe.read gives it."""
    method = method.gathered()

    def settle(one: Described) -> Described:
        known = schema.inputs_of(registry[one.node_id])
        inputs = {key: Wire(value.node, _slot(method, value, registry)) if isinstance(value, Wire) else value
                  for key, value in one.inputs.items()
                  if isinstance(value, Wire) or key not in known or value != schema.default_of(known[key])}
        return replace(one, inputs=inputs)

    return replace(method, nodes={name: settle(one) for name, one in method.nodes.items()})


def _slot(method: Method, wire: Wire, registry: Registry) -> int:
    """The number of a wire's output. Raises DistillError naming what does not exist."""
    method.check(wire.node)
    if isinstance(wire.output, int):
        return wire.output
    names = [each.display_name or each.id for each in schema.outputs_of(registry[method.nodes[wire.node].node_id])]
    if wire.output not in names:
        raise DistillError(f'Method: "{wire.node}" has no output "{wire.output}", but {", ".join(names)}.')
    return names.index(wire.output)


def api(method: Method, registry: Registry) -> dict[str, Any]:
    """The graph in API format; nodes are numbered in their order. Raises DistillError naming a node or an output that
    does not exist."""
    method = method.gathered()

    def value_of(value: Any) -> Any:
        return [_number(method, value.node), _slot(method, value, registry)] if isinstance(value, Wire) else value

    return {_number(method, name): {"class_type": one.node_id,
                                    "inputs": {key: value_of(value) for key, value in one.inputs.items()}}
            for name, one in method.nodes.items()}


def _number(method: Method, name: str) -> str:
    method.check(name)
    return str(1 + list(method.nodes).index(name))


def file(method: Method, registry: Registry | None = None, name: str = "method") -> dict[str, Any]:
    """The workflow in the editor's format. Files of models that have an address are offered for download. The ids of
    its subgraphs follow from `name`."""
    registry = schema.default_registry() if registry is None else registry
    method = method.gathered()
    groups: dict[str, list[str]] = {title: [] for title in method.groups}
    for key, one in method.nodes.items():
        if one.group:
            if one.group not in groups:
                raise DistillError(f'Method: "{key}" is in the group "{one.group}", which the method does not list.')
            groups[one.group].append(_number(method, key))
    if method.stages:
        graph = checked(read_graph(api(method, registry), registry), registry)
        numbers = {key: _number(method, key) for key in method.nodes}
        data = fold.to_ui(method, graph, numbers, registry, _models(method), name)
    else:
        titles = {_number(method, key): one.title for key, one in method.nodes.items() if one.title}
        data = to_ui(api(method, registry), registry, titles, groups, method.notes, _models(method))
    for sheet in (data, *data.get("definitions", {}).get("subgraphs", [])):
        for drawn in sheet["nodes"]:
            drawn.update(COLORS.get(drawn["type"], {}))
    return data


def _models(method: Method) -> dict[str, list[Mapping[str, str]]]:
    found: dict[str, list[Mapping[str, str]]] = {}
    for name, one in method.nodes.items():
        known = [find_model(value) for value in one.inputs.values() if isinstance(value, str) and "\n" not in value]
        offered = [model.download for model in known if model is not None and model.download]
        if offered:
            found[_number(method, name)] = offered
    return found


def meaning(method: Method) -> tuple[Any, ...]:
    """What a description says, independent of the names and order of its nodes. A file and the description that it was
    written from have equal meanings, also after a node was moved in the editor."""
    method = method.gathered()
    plain = {name: repr((one.type, one.title, one.group, one.stage,
                         sorted((key, value) for key, value in one.inputs.items() if not isinstance(value, Wire))))
             for name, one in method.nodes.items()}
    wires = {name: [(key, value) for key, value in sorted(one.inputs.items()) if isinstance(value, Wire)]
             for name, one in method.nodes.items()}
    told: dict[str, str] = {}

    def tell(name: str) -> str:
        """A hash of a node and everything upstream. A checked graph has no cycle."""
        if name not in told:
            sources = [(key, str(wire.output), tell(wire.node)) for key, wire in wires[name]]
            told[name] = hashlib.sha256(repr((plain[name], sources)).encode()).hexdigest()
        return told[name]

    def tell_shown(places: Sequence[str]) -> list[str]:
        return sorted(tell(place.partition(".")[0]) + "." + place.partition(".")[2] for place in places)

    stages = [(one.title, one.about, [(key, tell_shown(places)) for key, places in one.shown().items()])
              for one in method.stages]
    used = {one.group for one in method.nodes.values()}
    groups = sorted(set(method.groups) & used) if method.stages else list(method.groups)
    return sorted(map(tell, method.nodes)), groups, tuple(method.notes), stages
