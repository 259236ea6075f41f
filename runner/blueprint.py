"""Stages as blueprints: subgraphs that ComfyUI lists in its node library, from the folder `subgraphs` of the pack.

Each is a stage of a shipped workflow with that workflow's numbers, and may be dropped on any canvas.
"""
from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..nodes.core.errors import DistillError
from ..workflows.description import Method
from . import schema
from .fold import stage_id
from .listing import PACK
from .method import file

FOLDER = PACK / "subgraphs"
BLUEPRINTS = {  # name in the library: (workflow, stage)
    "DreamFusion stage (built-in prior)": ("dreamfusion", "DreamFusion stage"),
    "DreamFusion stage (Stable Diffusion)": ("dreamfusion_sd", "DreamFusion stage"),
    "MVDream stage": ("mvdream", "MVDream stage"),
    "Gaussian stage (built-in prior)": ("dreamgaussian", "Gaussian stage"),
    "Picture to 3D stage (built-in prior)": ("image_to_3d", "Picture to 3D stage"),
    "Picture to 3D stage (Zero123-XL)": ("zero123", "Picture to 3D stage"),
    "Refine on tetrahedra (built-in prior)": ("magic3d", "Refine on tetrahedra"),
    "Refine on tetrahedra (Stable Diffusion)": ("magic3d_sd", "Refine on tetrahedra"),
    "Bake and save": ("dreamfusion_sd", "Bake and save"),
}


def blueprint(name: str, title: str, method: Method, registry: schema.Registry | None = None) -> dict[str, Any]:
    """The blueprint `name` of the stage `title` of a method. Raises DistillError where the method has no such stage."""
    data = file(method, registry, name)
    found = [one for one in data.get("definitions", {}).get("subgraphs", []) if one["name"] == title]
    if not found:
        raise DistillError(f'Blueprint "{name}": the method has no stage "{title}".')
    definition = copy.deepcopy(found[0])
    host = copy.deepcopy(next(node for node in data["nodes"] if node["type"] == definition["id"]))
    definition["id"] = host["type"] = stage_id("blueprint", name)
    definition["name"] = name
    for slot in host["inputs"]:
        slot["link"] = None
    for slot in host["outputs"]:
        slot["links"] = []
    host.update(pos=[0, 0], order=0)
    return {"id": stage_id("blueprint file", name), "revision": 0, "last_node_id": host["id"], "last_link_id": 0,
            "nodes": [host], "links": [], "groups": [], "definitions": {"subgraphs": [definition]}, "config": {},
            "extra": {}, "version": 0.4}


def texts(methods: Mapping[str, Method]) -> dict[Path, str]:
    """{file: content} of every blueprint."""
    return {FOLDER / f"{name}.json": json.dumps(blueprint(name, title, methods[workflow]), indent=1,
                                                ensure_ascii=False) + "\n"
            for name, (workflow, title) in BLUEPRINTS.items()}
