"""A method as a description: nodes by name, their wires, and the numbers that are not defaults.

methods/ holds one description a file, and `make sync` writes the workflow files from them. A method that differs from
another in some numbers and nodes is written as that difference:

    METHOD = BASE.differing(notes=("...",), numbers={"sds_loss.guidance": 21.0}, nodes={"prior": node(...)},
                            without=["vae"])

A method that has stages is drawn as a short row of subgraphs. A stage is named by its last nodes; everything that leads
to them belongs to it, up to other stages and to the nodes of OUTSIDE, which stay on the canvas. A node that several
stages need is copied into each, so that few wires run between stages.
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


# What a person chooses or what holds a network: on the canvas unless a stage ends with it or keeps it.
OUTSIDE = ("ViewPrompt", "BuiltinPrior", "StableDiffusionPrior", "DiffusersPrior", "PriorFromModel", "DeepFloydIFPrior",
           "Zero123Prior", "MVDreamPrior", "ImageDreamPrior", "NormalDepthPrior", "AlbedoPrior", "LoRAPrior",
           "DreamBoothPrior", "CLIPTower", "ReferenceView", "LoadMesh", "LoadState")


def is_outside(kind: str) -> bool:
    """True for the type of a node that stands on the canvas unless a stage ends with it or keeps it."""
    return kind.removeprefix("Distill3D_") in OUTSIDE or kind.startswith(":")


@dataclass(frozen=True)
class Described:
    """One node: its type ("SDSLoss" stands for "Distill3D_SDSLoss"; nodes of ComfyUI are written after a colon, as in
    ":LoadImage"), its values and wires by input, its title where it has one of its own, the group that it is in, and
    the stage that it is in (of a method whose stages are gathered)."""

    type: str
    inputs: Mapping[str, Any]
    title: str = ""
    group: str = ""
    stage: str = ""

    @property
    def node_id(self) -> str:
        return self.type[1:] if self.type.startswith(":") else f"Distill3D_{self.type}"


def node(kind: str, /, *, titled: str = "", within: str = "", **inputs: Any) -> Described:
    """A node of a description; see Described. Inputs that are not named have their defaults."""
    return Described(kind, inputs, titled, within)


@dataclass(frozen=True)
class Stage:
    """One subgraph: its title, the nodes it ends with, the widgets that it shows ({name: "node.input", or several that
    have one value}), nodes of OUTSIDE that it keeps, and what its blueprint says it does."""

    title: str
    ends: Sequence[str]
    shows: Mapping[str, str | Sequence[str]]
    keeps: Sequence[str] = ()
    about: str = ""

    def shown(self) -> dict[str, tuple[str, ...]]:
        return {name: (places,) if isinstance(places, str) else tuple(places) for name, places in self.shows.items()}


def stage(title: str, *ends: str, shows: Mapping[str, str | Sequence[str]] | None = None, keeps: Sequence[str] = (),
          about: str = "") -> Stage:
    """A stage of a description; see Stage."""
    return Stage(title, ends, shows or {}, keeps, about)


@dataclass(frozen=True)
class Method:
    """nodes by name, groups in their order from top to bottom, notes (Markdown), stages from left to right."""

    nodes: Mapping[str, Described]
    groups: Sequence[str] = ()
    notes: Sequence[str] = ()
    stages: Sequence[Stage] = ()

    def differing(self, *, notes: Sequence[str], numbers: Mapping[str, Any] | None = None,
                  nodes: Mapping[str, Described] | None = None, without: Sequence[str] = (),
                  groups: Sequence[str] | None = None, stages: Sequence[Stage] | None = None) -> "Method":
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
        return Method(merged, self.groups if groups is None else groups, notes,
                      self.stages if stages is None else stages)

    def gathered(self) -> "Method":
        """This method with every node in its stage. Raises DistillError for a stage that names what does not exist."""
        if not self.stages or any(one.stage for one in self.nodes.values()):
            return self
        homes: dict[str, list[Stage]] = {name: [] for name in self.nodes}
        ends = {name: each for each in self.stages for name in each.ends}
        for name in (*ends, *(kept for each in self.stages for kept in each.keeps)):
            self.check(name)
        for each in self.stages:
            waiting = list(each.ends)
            while waiting:
                name = waiting.pop()
                if each in homes[name] or self._stops(name, each, ends):
                    continue
                homes[name].append(each)
                waiting += [wire.node for wire in self.nodes[name].inputs.values() if isinstance(wire, Wire)]
        copies = {(name, home.title): name if not number else f"{name}__{number + 1}"
                  for name, found in homes.items() for number, home in enumerate(found)}

        def settled(one: Described, home: str) -> Described:
            inputs = {key: replace(value, node=copies.get((value.node, home), value.node))
                      if isinstance(value, Wire) else value for key, value in one.inputs.items()}
            return replace(one, inputs=inputs, stage=home, group=one.group if home else "")

        nodes = {copies.get((name, home), name): settled(one, home) for name, one in self.nodes.items()
                 for home in [each.title for each in homes[name]] or [""]}
        stages = [replace(each, shows={key: tuple(self._settled(place, each, copies) for place in places)
                                       for key, places in each.shown().items()}) for each in self.stages]
        return replace(self, nodes=nodes, stages=stages)

    def _stops(self, name: str, each: Stage, ends: Mapping[str, Stage]) -> bool:
        if name in ends:
            return ends[name] is not each
        return is_outside(self.nodes[name].type) and name not in each.keeps

    def _settled(self, place: str, each: Stage, copies: Mapping[tuple[str, str], str]) -> str:
        name, _, entry = place.partition(".")
        self.check(name)
        if (name, each.title) not in copies:
            raise DistillError(f'Method: the stage "{each.title}" shows "{place}", but that node is not in it.')
        return f"{copies[name, each.title]}.{entry}"

    def check(self, name: str) -> None:
        """Raises DistillError where there is no node of that name."""
        if name not in self.nodes:
            raise DistillError(f'Method: there is no node "{name}". Nodes are: {", ".join(self.nodes)}.')
