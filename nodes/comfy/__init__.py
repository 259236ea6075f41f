"""The only door to ComfyUI, which is called the host here. Nodes import ComfyUI's classes from this folder only.
Without ComfyUI, stand-ins replace them, so that nodes run in tests and from the command line.

    here            the schema classes `io` and `Types`, the base class `Node`, our socket types, widgets used by many
    hosts           `host()`: folders, device, progress, cancelling, warnings, names of files; `Host`, its stand-in
    comfy_host      `ComfyHost`, the host in ComfyUI
    node            the base of all nodes: refuses NaN, collects warnings
    warnings        the warnings of the node that runs
    panel           the contents of the live panel; panel_routes: its HTTP routes and events
    model           runs ComfyUI's models; network: copies of their networks, for adapters that are trained
    vision          embeddings of ComfyUI's CLIP_VISION and CLIP: `HostTower`
    examples        the pack's example pictures, copied to ComfyUI's input folder
    standalone      the schema classes where ComfyUI is absent
"""
from __future__ import annotations

import sys
from typing import Any

from ..core.schedule import Schedule
from .hosts import Host, Progress, dated, host, host_tick, set_default, set_host
from .node import node_class

# ComfyUI imports its own modules before it loads packs. A ComfyUI that is merely on the path of another program
# must not be started by us.
IN_COMFYUI = "comfy_api" in sys.modules or "folder_paths" in sys.modules
if IN_COMFYUI:
    from comfy_api.latest import ComfyExtension, Types, io

    from .comfy_host import ComfyHost
    set_default(ComfyHost)
else:
    from .standalone import ComfyExtension, Types, io

Node = node_class(io.ComfyNode)

FIELD = io.Custom("DISTILL3D_FIELD")
MATERIAL = io.Custom("DISTILL3D_MATERIAL")
BACKGROUND = io.Custom("DISTILL3D_BACKGROUND")
SCENE = io.Custom("DISTILL3D_SCENE")
VIEWS = io.Custom("DISTILL3D_VIEWS")
# The name of this wire is kept for saved workflows, although its content has changed.
PICTURES = io.Custom("DISTILL3D_REFERENCE")
LIGHT = io.Custom("DISTILL3D_LIGHT")
PROMPT = io.Custom("DISTILL3D_PROMPT")
PRIOR = io.Custom("DISTILL3D_PRIOR")
TOWER = io.Custom("DISTILL3D_TOWER")
LOSS = io.Custom("DISTILL3D_LOSS")
OBJECTIVE = io.Custom("DISTILL3D_OBJECTIVE")
OPTIMIZER = io.Custom("DISTILL3D_OPTIMIZER")
SCHEDULE = io.Custom("DISTILL3D_SCHEDULE")
DATASET = io.Custom("DISTILL3D_DATASET")
VIEW_DATASET = io.Custom("DISTILL3D_VIEW_DATASET")

# Types that older versions of ComfyUI do not have. A socket needs only its name.
FILES_3D = [io.Custom(f"FILE_3D{kind}") for kind in ("", "_GLB", "_GLTF", "_OBJ", "_STL", "_PLY")]
SPLAT = io.Custom("SPLAT")
SPLAT_FILES = [io.Custom(f"FILE_3D{kind}") for kind in ("_SPLAT_ANY", "_PLY", "_SPLAT", "_SPZ", "_KSPLAT", "")]
CAMERA_3D = io.Custom("LOAD3D_CAMERA")
MODEL_3D = io.Custom("LOAD3D_MODEL_INFO")


def scheduled(id: str, default: float, tooltip: str, **options: Any):
    """A number widget that also takes a Schedule by wire. Read it with Schedule.of."""
    return io.MultiType.Input(io.Float.Input(id, default=default, tooltip=tooltip, **options), types=[SCHEDULE])


class FileNames(list):
    """A widget whose options are names of files on this machine. A workflow from another machine may name other files:
    the node that reads the file then says what is missing and where to get it."""


def seed_input(tooltip: str = "Same seed, same result, bit for bit on the CPU."):
    return io.Int.Input("seed", default=0, min=0, max=2**53 - 1, control_after_generate=True, tooltip=tooltip)


async def register_routes() -> None:
    """Registers the HTTP routes of this pack if there is a server."""
    if IN_COMFYUI:
        from .panel_routes import register_routes
        register_routes()


def show_examples() -> None:
    """The pack's example pictures in the host's input folder, so that the workflows which name them run at once."""
    if IN_COMFYUI:
        from .examples import place_examples
        place_examples(host().input_directory)
