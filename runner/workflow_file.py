"""Reads a workflow file, in either of the two formats.

The API format names every input and is read here. The UI format, which the editor saves, stores widget values by
position and holds boxes that never run: ui_format.py reads it.
"""
from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..nodes.core.errors import DistillError, first_line
from . import schema
from .graph import Graph, GraphNode, Link
from .schema import Registry
from .ui_format import from_ui
from .ui_schema import check_nodes

MAX_BYTES = 64 << 20


def read_graph(source: str | os.PathLike | Mapping[str, Any], registry: Registry | None = None) -> Graph:
    """The graph of a workflow: a path to a JSON file, or its parsed content. UI and API format.

    Raises DistillError for a file that cannot be read, is not JSON (with line and column), or is not a workflow.
    """
    registry = schema.default_registry() if registry is None else registry
    if isinstance(source, Mapping):
        data, name = source, "workflow"
    else:
        data, name = _load(Path(source)), Path(source).stem
    try:
        return _graph(data, name, registry)
    except DistillError:
        raise
    except Exception as error:  # what no check foresaw in a damaged file
        reason = first_line(error)
        raise DistillError(f'"{name}" is damaged and cannot be read as a workflow ({type(error).__name__}: {reason}). '
                           "Save it again from the editor.") from error


def _graph(data: Any, name: str, registry: Registry) -> Graph:
    if isinstance(data, Mapping) and isinstance(data.get("nodes"), list):
        return Graph(from_ui(data, registry), name, data)
    if isinstance(data, Mapping) and isinstance(data.get("prompt"), Mapping) and "class_type" not in data["prompt"]:
        data = data["prompt"]
    if isinstance(data, Mapping) and data and all(isinstance(one, Mapping) and "class_type" in one
                                                  for one in data.values()):
        check_nodes(len(data))
        return Graph({node_id: _api_node(node_id, one, registry) for node_id, one in data.items()}, name)
    raise DistillError(f'"{name}" is JSON but not a workflow: it has neither "nodes" (saved from the editor) nor '
                       'entries with "class_type" (API format).')


def _load(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DistillError(f"{path} has {path.stat().st_size >> 20} MiB; workflows of at most {MAX_BYTES >> 20} "
                               "are read.")
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DistillError(f"{path} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}. "
                           "The file may be cut off: save it again.") from None
    except (UnicodeDecodeError, RecursionError, ValueError) as error:  # ValueError: a number of thousands of digits
        if isinstance(error, DistillError):
            raise
        raise DistillError(f"{path} is not a workflow: it is no readable JSON text.") from None
    except OSError as error:
        raise DistillError(f"Cannot read the workflow {path}: {error.strerror or error}.") from None


def _api_node(node_id: str, entry: Mapping[str, Any], registry: Registry) -> GraphNode:
    given = entry.get("inputs") or {}
    if not isinstance(entry["class_type"], str) or not isinstance(given, Mapping):
        raise DistillError(f'Node #{node_id} is damaged: "class_type" must be a text and "inputs" an object.')
    node = registry.get(entry["class_type"])
    other_names = schema.known_names(node) if node else {}
    meta = entry.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else ""
    return GraphNode(str(node_id), entry["class_type"],
                     {other_names.get(name, name): _api_value(value) for name, value in given.items()},
                     title if isinstance(title, str) else "")


def _api_value(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int)) and isinstance(value[1], int):
        return Link(str(value[0]), value[1])
    if isinstance(value, Mapping) and set(value) == {"__value__"}:  # how the editor tells a list from a wire
        return value["__value__"]
    return value
