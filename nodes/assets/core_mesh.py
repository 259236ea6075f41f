"""Between the pack's mesh and core's MESH: batch first, Y up and front +Z, linear vertex colours."""
from __future__ import annotations

from typing import Any

from torch import Tensor

from ...kernels.image.color import srgb_to_linear
from ..comfy import Types, host
from .mesh import Mesh, to_y_up
from .mesh_wire import MAPS, read_core_mesh, turned


def to_core(mesh: Mesh) -> Any:
    """Core's Types.MESH with a batch of one, on the CPU. Positions and normals Y up, vertex colours linear."""
    def item(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.detach().cpu().contiguous()[None]

    core = Types.MESH(vertices=item(to_y_up(mesh.vertices)), faces=item(mesh.faces))
    # Attributes rather than arguments, because older versions of ComfyUI have fewer arguments.
    core.uvs = item(mesh.uv)
    for name in MAPS:
        setattr(core, name, item(getattr(mesh, name)))
    core.opacity, core.opacity_cutoff = item(mesh.opacity), mesh.cutoff  # core's nodes ignore them and drop them
    core.vertex_colors = None if mesh.vertex_colors is None else item(srgb_to_linear(mesh.vertex_colors))
    core.normals = None if mesh.normals is None else item(to_y_up(mesh.normals))
    core.tangents = None if mesh.tangents is None else item(turned(mesh.tangents, to_y_up))
    return core


def from_core(core: Any, node: str) -> Mesh:
    """The first mesh of a core MESH, copied: see `read_core_mesh`. Warnings are shown in ComfyUI."""
    return read_core_mesh(core, node, host().warn)
