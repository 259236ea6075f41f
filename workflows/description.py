"""A method as a description: nodes by name, their wires, and the numbers that are not defaults.

methods/ holds one description a file, and `make sync` writes the workflow files from them. A method that differs from
another in some numbers and nodes is written as that difference:

    METHOD = BASE.differing(notes=("...",), numbers={"sds_loss.guidance": 21.0}, nodes={"prior": node(...)},
                            without=["vae"])
"""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..nodes.core.errors import DistillError


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
            self.check(name)
        merged = {name: one for name, one in self.nodes.items() if name not in without} | dict(nodes or {})
        for place, value in (numbers or {}).items():
            name, _, entry = place.partition(".")
            if name not in merged:
                raise DistillError(f'Method: there is no node "{name}". Nodes are: {", ".join(merged)}.')
            inputs = {key: kept for key, kept in merged[name].inputs.items() if key != entry}
            merged[name] = replace(merged[name], inputs=inputs if value is None else {**inputs, entry: value})
        return Method(merged, self.groups if groups is None else groups, notes)

    def check(self, name: str) -> None:
        """Raises DistillError where there is no node of that name."""
        if name not in self.nodes:
            raise DistillError(f'Method: there is no node "{name}". Nodes are: {", ".join(self.nodes)}.')
