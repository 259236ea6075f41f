"""Changes the values of a graph: `--set`, `--seed`, `--resume`."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..nodes.core.errors import DistillError
from . import schema
from .check import class_of
from .graph import Graph, Link
from .schema import Registry

PROMPT_NODE, PROMPT_NAMES = "Distill3D_ViewPrompt", ("prompt", "text")
STAGE_NODE = "Distill3D_Optimize"


def with_settings(graph: Graph, registry: Registry, sets: Mapping[str, Any] | None = None, seed: int | None = None,
                  resume: bool = False) -> Graph:
    """The graph with other values. A value replaces a wire.

    sets    by "id.input", "title.input" (or display name, or type), or "input" if only one node has it.
            "prompt" (or "text") is the text of the View Prompt
    seed    for every input named seed
    resume  stages continue from their last saved state
    """
    for key, value in (sets or {}).items():
        for node_id, name in _places(graph, registry, key):
            graph = _with_value(graph, registry, node_id, name, value, f'Setting "{key}"')
    if seed is not None:
        seeded = [node_id for node_id, name in _widgets(graph, registry) if name == "seed"]
        if not seeded:
            raise DistillError("A seed was given, but no node of this workflow has an input named seed.")
        for node_id in seeded:
            graph = _with_value(graph, registry, node_id, "seed", seed, "Seed")
    if resume:
        stages = [node_id for node_id, name in _widgets(graph, registry)
                  if graph.nodes[node_id].type == STAGE_NODE and name == "resume"]
        if not stages:
            raise DistillError("There is nothing to resume: this workflow has no Optimize node.")
        for node_id in stages:
            graph = graph.with_input(node_id, "resume", True)
    return graph


def last_stages(graph: Graph) -> list[str]:
    """The ids of the stages whose scene goes into no other stage."""
    stages = [node.id for node in graph.nodes.values() if node.type == STAGE_NODE]
    return [stage for stage in stages if not any(stage in _above(graph, other) for other in stages if other != stage)]


def _above(graph: Graph, node_id: str) -> set[str]:
    """The ids of the nodes that a node depends on."""
    found, waiting = set(), [node_id]
    while waiting:
        for value in graph.nodes[waiting.pop()].inputs.values():
            if isinstance(value, Link) and value.node not in found and value.node in graph.nodes:
                found.add(value.node)
                waiting.append(value.node)
    return found


def _with_value(graph: Graph, registry: Registry, node_id: str, name: str, value: Any, what: str) -> Graph:
    entry = schema.inputs_of(class_of(graph.nodes[node_id], registry))[name]
    try:
        return graph.with_input(node_id, name, schema.plain_value(entry, value))
    except DistillError as error:
        raise DistillError(f"{what}: {graph.nodes[node_id].label(registry)}: {error}") from None


def _widgets(graph: Graph, registry: Registry) -> list[tuple[str, str]]:
    """Every (node id, input) that can be set."""
    return [(node.id, entry.id) for node in graph.nodes.values()
            for entry in schema.widgets_of(class_of(node, registry))]


def _places(graph: Graph, registry: Registry, key: str) -> list[tuple[str, str]]:
    """The inputs that a key means: one, or several View Prompts with the same text."""
    widgets = _widgets(graph, registry)
    if key in PROMPT_NAMES:
        prompts = [(node_id, name) for node_id, name in widgets
                   if graph.nodes[node_id].type == PROMPT_NODE and name in PROMPT_NAMES]
        if prompts and len({graph.nodes[node_id].inputs.get(name) for node_id, name in prompts}) == 1:
            return prompts
        if prompts:
            return [_only(graph, registry, key, prompts)]
    node_name, _, input_name = key.rpartition(".")
    named = [place for place in widgets if place[1] == input_name]
    if node_name:
        known = [node_id for node_id in graph.nodes if _answers(graph, registry, node_id, node_name)]
        if not known:
            names = [name for node in graph.nodes.values() for name in (node.id, node.name(registry))]
            raise DistillError(f'Setting "{key}": the workflow has no node "{node_name}"'
                               f"{schema.close_to(node_name, names)}.")
        if not any(node_id in known for node_id, _ in named):
            own = list(dict.fromkeys(name for node_id, name in widgets if node_id in known))
            raise DistillError(f'Setting "{key}": {graph.nodes[known[0]].label(registry)} has no value "{input_name}"'
                               f"{schema.close_to(input_name, own)}. Values are: {', '.join(own) or 'none'}.")
        named = [(node_id, name) for node_id, name in named if node_id in known]
    elif not named:
        raise DistillError(f'Setting "{key}": no node has a value of that name'
                           f"{schema.close_to(key, [name for _, name in widgets])}.")
    return [_only(graph, registry, key, named)]


def _answers(graph: Graph, registry: Registry, node_id: str, name: str) -> bool:
    """True if `name` is the id (also without the ids of the subgraphs around it), the title, the display name or the
    type of the node."""
    if name in graph.nodes:
        return node_id == name
    if node_id.rpartition(":")[2] == name:
        return True
    node = graph.nodes[node_id]
    names = (node.title, schema.display_name(class_of(node, registry)), node.type, node.type.removeprefix("Distill3D_"))
    return name.casefold() in (one.casefold() for one in names if one)


def _only(graph: Graph, registry: Registry, key: str, places: list[tuple[str, str]]) -> tuple[str, str]:
    if len(places) > 1:
        listed = ", ".join(f'"{node_id}.{name}" ({graph.nodes[node_id].name(registry)})' for node_id, name in places)
        raise DistillError(f'Setting "{key}" could mean {len(places)} inputs. Say which: {listed}.')
    return places[0]
