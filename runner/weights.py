"""Identifies the weights that a workflow runs with: results differ if the files differ that its nodes read."""
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..nodes import comfy
from ..nodes.core.errors import DistillError
from .graph import Graph, Link
from .schema import Registry

KINDS = ("checkpoints", "diffusers", "vae", "clip_vision")  # the model folders that nodes read from


def weights_of(graph: Graph, registry: Registry, host: comfy.Host) -> dict[str, str]:
    """{node, such as "Built-in Prior (#3)": a hash of the files that it reads}, for nodes that read files.

    A node's own `fingerprint_inputs` comes first: the built-in prior hashes its weights. Large models that are chosen
    by name count by size and date. Missing files do not count: the run reports them.
    """
    previous, found = comfy.host(), {}
    comfy.set_host(host)
    try:
        for node in graph.nodes.values():
            values = {name: value for name, value in node.inputs.items() if not isinstance(value, Link)}
            parts = [*_own_words(registry[node.type], values), *map(_letters, _models(values, host))]
            if parts:
                found[node.label(registry)] = " ".join(parts)
    finally:
        comfy.set_host(previous)
    return found


def _own_words(node_class: type, values: Mapping[str, Any]) -> list[str]:
    says = getattr(node_class, "fingerprint_inputs", None)
    try:
        return [str(says(**values))] if says is not None else []
    except DistillError:
        return []


def _models(values: Mapping[str, Any], host: comfy.Host) -> Iterator[Path]:
    """The files and folders below the model folders that the values name."""
    roots = [Path(os.path.abspath(folder)) for kind in KINDS for folder in host.model_folders(kind)]
    for value in values.values():
        if isinstance(value, str) and value and "\n" not in value and len(value) < 256:
            places = [Path(os.path.abspath(root / value)) for root in roots]
            yield from [place for root, place in zip(roots, places) if root in place.parents and place.exists()][:1]


def _letters(place: Path) -> str:
    paths = [place] if place.is_file() else [
        Path(folder) / name for folder, _, names in os.walk(place, followlinks=True) for name in names]
    facts = sorted((str(path.relative_to(place)), path.stat().st_size, path.stat().st_mtime_ns) for path in paths)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:12]
