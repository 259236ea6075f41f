"""A graph of nodes, whichever of the two formats its workflow file has."""
from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import schema
from .schema import Registry


@dataclass(frozen=True)
class Link:
    """The output number `slot` of the node `node`."""

    node: str
    slot: int


@dataclass(frozen=True)
class GraphNode:
    """One node. inputs: a Link or a value by name. title: as set in the editor, or ""."""

    id: str
    type: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""

    def links(self) -> Iterator[tuple[str, Link]]:
        for name, value in self.inputs.items():
            if isinstance(value, Link):
                yield name, value

    def label(self, registry: Registry) -> str:
        """Its name in messages: "Optimize (#12)"."""
        return f"{self.name(registry)} (#{self.id[:40]})"

    def name(self, registry: Registry) -> str:
        known = schema.display_name(registry[self.type]) if self.type in registry else self.type
        return (self.title or known)[:80]


@dataclass(frozen=True)
class Graph:
    """The nodes that would run, by id, in the order of the file.

    editor   the file's content if it was saved from the editor, else None
    """

    nodes: Mapping[str, GraphNode]
    name: str = "workflow"
    editor: Mapping[str, Any] | None = None

    def with_input(self, node: str, name: str, value: Any) -> "Graph":
        """A copy with one input changed. The value replaces a wire."""
        changed = replace(self.nodes[node], inputs={**self.nodes[node].inputs, name: value})
        return replace(self, nodes={**self.nodes, node: changed})

    def to_api(self) -> dict[str, Any]:
        """The graph in API format."""
        return {node.id: {"class_type": node.type,
                          "inputs": {name: [value.node, value.slot] if isinstance(value, Link) else value
                                     for name, value in node.inputs.items()},
                          **({"_meta": {"title": node.title}} if node.title else {})}
                for node in self.nodes.values()}
