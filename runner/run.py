"""Runs a workflow without ComfyUI: every node that an output needs, once, in the host's order."""
from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from ..nodes import comfy
from ..nodes.core.errors import Cancelled, DistillError
from . import schema
from .check import checked, needed_order
from .graph import Graph, GraphNode, Link
from .schema import Registry
from .setting import last_stages, with_settings
from .workflow_file import read_graph


@dataclass(frozen=True)
class RunResult:
    """outputs and seconds by node id, and the files that were written, in order."""

    outputs: dict[str, tuple] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def run_workflow(graph: Graph | str | os.PathLike | Mapping[str, Any], sets: Mapping[str, Any] | None = None,
                 seed: int | None = None, host: comfy.Host | None = None, resume: bool = False,
                 classes: Registry | None = None, more: int = 0) -> RunResult:
    """Runs a workflow and returns what its nodes returned.

    graph     a Graph, the path of a workflow file, or its parsed JSON (UI or API format)
    sets      values to change: {"prompt": ..., "12.steps": ..., "Optimize.steps": ...}; see setting.py
    seed      for every input named seed
    host      progress, folders and device; None: the current one
    resume    stages continue from their last saved state
    more      steps that the last stages add to their latest saved state; implies resume
    classes   of nodes by id; None: this pack's and the stand-ins for core's

    The whole graph is checked before the first node runs. Nothing is cached between runs. Raises DistillError naming
    the node, and Cancelled.
    """
    registry = schema.default_registry() if classes is None else classes
    graph = graph if isinstance(graph, Graph) else read_graph(graph, registry)
    if sets or seed is not None:  # the editor's file would say other values than those that run
        graph = replace(graph, editor=None)
    graph = checked(with_settings(graph, registry, sets, seed, resume or more > 0), registry)
    targets = [node.id for node in graph.nodes.values() if schema.is_output(registry[node.type])]
    if not targets:
        raise DistillError(f'The workflow "{graph.name}" has no node that saves or shows something, so there is '
                           "nothing to run. Add one, for example Save 3D Model.")
    previous = comfy.host()
    comfy.set_host(host or previous)
    comfy.host().is_running = True
    comfy.host().more = dict.fromkeys(last_stages(graph), more) if more else {}
    try:
        return _run(graph, registry, needed_order(graph, registry, targets))
    finally:
        comfy.host().is_running = False
        comfy.host().need_no_states()
        comfy.set_host(previous)


def _run(graph: Graph, registry: Registry, order: list[str]) -> RunResult:
    host, result, prompt = comfy.host(), RunResult(), graph.to_api()
    already = len(host.written)
    for node_id in order:
        host.check()
        node = graph.nodes[node_id]
        began = time.perf_counter()
        result.outputs[node_id] = _execute(node, registry, result.outputs, prompt, graph.editor)
        result.seconds[node_id] = time.perf_counter() - began
    result.files.extend(host.written[already:])
    return result


def _execute(node: GraphNode, registry: Registry, outputs: Mapping[str, tuple], prompt: dict,
             editor: Mapping[str, Any] | None) -> tuple:
    node_class, label = registry[node.type], node.label(registry)
    values = {name: outputs[value.node][value.slot] if isinstance(value, Link) else value
              for name, value in node.inputs.items()}
    # As in the host: a class of its own for each use, so that no node can leave anything behind on its class.
    used = type(node_class.__name__, (node_class,), {"hidden": SimpleNamespace(
        unique_id=node.id, prompt=prompt, extra_pnginfo={"workflow": editor} if editor else None, dynprompt=None)})
    try:
        with torch.inference_mode():
            returned = used.execute(**values)
    except Cancelled:
        raise
    except DistillError as error:
        raise DistillError(f"{label}: {_without_name(str(error), node, node_class)}") from error
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise DistillError(f"{label}: {type(error).__name__}{': ' if first else ''}{first}. This is not an error that "
                           "the node expected; --debug shows where it happened.") from error
    finally:
        comfy.host().end()
    given = returned if isinstance(returned, tuple) else tuple(getattr(returned, "args", ()) or ())
    if getattr(returned, "block_execution", None):
        raise DistillError(f"{label}: {returned.block_execution}")
    wanted = len(schema.outputs_of(node_class))
    if len(given) < wanted and any(schema.outputs_of(node_class)):
        raise DistillError(f"{label}: returned {len(given)} of {wanted} outputs. This is a fault of the node.")
    return given


def _without_name(text: str, node: GraphNode, node_class: type) -> str:
    """The message without the node's name at its beginning, which the label repeats."""
    for name in (node.title, schema.display_name(node_class)):
        if name and text.startswith(f"{name}: "):
            return text[len(name) + 2:]
    return text
