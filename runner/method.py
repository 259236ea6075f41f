"""A method as a description: nodes by name, their wires, and the numbers that are not defaults.

workflows/methods/ holds one description a file; `distill3d layout --write` makes the workflow files of them. A method
that differs from another in numbers and a few nodes is written as that difference:

    METHOD = BASE.differing(note="...", numbers={"sds.guidance": 21.0}, nodes={"prior": node(...)}, without=["vae"])
"""
from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..nodes.core.errors import DistillError
from ..nodes.models.published import find_model
from . import schema
from .layout import to_ui
from .schema import Registry


@dataclass(frozen=True)
class Wire:
    """The output of a node: `output` is its name or number, 0 the first."""

    node: str
    output: str | int = 0


@dataclass(frozen=True)
class Described:
    """One node: its type ("SDSLoss" stands for "Distill3D_SDSLoss"; nodes of ComfyUI are written after a colon, as in
    ":LoadImage"), its values and wires by input, its title where it has one of its own, and the group that it is in."""

    type: str
    inputs: Mapping[str, Any]
    title: str = ""
    group: str = ""

    @property
    def node_id(self) -> str:
        return self.type[1:] if self.type.startswith(":") else f"Distill3D_{self.type}"


def node(kind: str, /, *, titled: str = "", within: str = "", **inputs: Any) -> Described:
    """A node of a description; see Described. Inputs that are not named have their defaults."""
    return Described(kind, inputs, titled, within)


# Colours of the editor: what a person writes is green, what takes the time is blue.
COLORS = {"Distill3D_ViewPrompt": {"color": "#232", "bgcolor": "#353"},
          "Distill3D_Optimize": {"color": "#223", "bgcolor": "#335"}}


@dataclass(frozen=True)
class Method:
    """nodes by name, groups in their order from top to bottom, notes (Markdown)."""

    nodes: Mapping[str, Described]
    groups: Sequence[str] = ()
    notes: Sequence[str] = ()

    def differing(self, *, notes: Sequence[str], numbers: Mapping[str, Any] | None = None,
                  nodes: Mapping[str, Described] | None = None, without: Sequence[str] = (),
                  groups: Sequence[str] | None = None) -> "Method":
        """This method with other notes, other values ("name.input": value or Wire; None: the default again), other or
        further nodes, and without some. Raises DistillError for a name that it does not have."""
        for name in without:
            self._check(name)
        merged = {name: one for name, one in self.nodes.items() if name not in without} | dict(nodes or {})
        for place, value in (numbers or {}).items():
            name, _, entry = place.partition(".")
            if name not in merged:
                raise DistillError(f'Method: there is no node "{name}"{schema.close_to(name, merged)}.')
            inputs = {key: kept for key, kept in merged[name].inputs.items() if key != entry}
            merged[name] = replace(merged[name], inputs=inputs if value is None else {**inputs, entry: value})
        return Method(merged, self.groups if groups is None else groups, notes)

    def _check(self, name: str) -> None:
        if name not in self.nodes:
            raise DistillError(f'Method: there is no node "{name}"{schema.close_to(name, self.nodes)}.')

    def named(self, registry: Registry) -> "Method":
        """The same with outputs as describe.read has them, and without values that are defaults."""
        def settle(one: Described) -> Described:
            known = schema.inputs_of(registry[one.node_id])
            inputs = {key: Wire(value.node, self._slot(value, registry)) if isinstance(value, Wire) else value
                      for key, value in one.inputs.items()
                      if isinstance(value, Wire) or key not in known or value != schema.default_of(known[key])}
            return replace(one, inputs=inputs)

        return replace(self, nodes={name: settle(one) for name, one in self.nodes.items()})

    def _slot(self, wire: Wire, registry: Registry) -> int:
        """The number of a wire's output. Raises DistillError naming what does not exist."""
        self._check(wire.node)
        if isinstance(wire.output, int):
            return wire.output
        names = [each.display_name or each.id for each in schema.outputs_of(registry[self.nodes[wire.node].node_id])]
        if wire.output not in names:
            raise DistillError(f'Method: "{wire.node}" has no output "{wire.output}", but {", ".join(names)}.')
        return names.index(wire.output)

    def api(self, registry: Registry) -> dict[str, Any]:
        """The graph in API format; nodes are numbered in their order. Raises DistillError naming a node or an output
        that does not exist."""
        return {self._id(name): {"class_type": one.node_id,
                                 "inputs": {key: self._value(value, registry) for key, value in one.inputs.items()}}
                for name, one in self.nodes.items()}

    def _id(self, name: str) -> str:
        self._check(name)
        return str(1 + list(self.nodes).index(name))

    def _value(self, value: Any, registry: Registry) -> Any:
        if not isinstance(value, Wire):
            return value
        return [self._id(value.node), self._slot(value, registry)]

    def file(self, registry: Registry | None = None) -> dict[str, Any]:
        """The workflow in the editor's format. Files of models that have an address are offered for download."""
        registry = schema.default_registry() if registry is None else registry
        groups: dict[str, list[str]] = {title: [] for title in self.groups}
        for name, one in self.nodes.items():
            if one.group:
                if one.group not in groups:
                    raise DistillError(f'Method: "{name}" is in the group "{one.group}", which the method does not '
                                       'list.')
                groups[one.group].append(self._id(name))
        titles = {self._id(name): one.title for name, one in self.nodes.items() if one.title}
        data = to_ui(self.api(registry), registry, titles, groups, self.notes, self._models())
        for drawn in data["nodes"]:
            drawn.update(COLORS.get(drawn["type"], {}))
        return data

    def _models(self) -> dict[str, list[Mapping[str, str]]]:
        found: dict[str, list[Mapping[str, str]]] = {}
        for name, one in self.nodes.items():
            known = [find_model(value) for value in one.inputs.values() if isinstance(value, str) and "\n" not in value]
            offered = [model.download for model in known if model is not None and model.download]
            if offered:
                found[self._id(name)] = offered
        return found


def meaning(method: Method) -> tuple[Any, ...]:
    """What a description says, whatever its nodes are called and in whatever order they are: equal for a file and the
    description that it was written from, also after a node was moved in the editor."""
    plain = {name: repr((one.type, one.title, one.group, sorted((key, value) for key, value in one.inputs.items()
                                                                if not isinstance(value, Wire))))
             for name, one in method.nodes.items()}
    wires = {name: [(key, value) for key, value in sorted(one.inputs.items()) if isinstance(value, Wire)]
             for name, one in method.nodes.items()}
    told: dict[str, str] = {}

    def tell(name: str) -> str:
        """A node with everything that it is made from; a checked graph has no circle."""
        if name not in told:
            sources = [(key, str(wire.output), tell(wire.node)) for key, wire in wires[name]]
            told[name] = hashlib.sha256(repr((plain[name], sources)).encode()).hexdigest()
        return told[name]

    return sorted(map(tell, method.nodes)), tuple(method.groups), tuple(method.notes)
