"""Making core's SPLAT from a scene's own Gaussians, or from discs on a surface."""
from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ...kernels.quaternion import turning_z_to
from ..comfy import Types
from ..core.errors import DistillError
from .splat import Splat, sh_of, to_splat_frame, turn_to_splat_frame

FLATNESS = 0.1  # thickness of a disc over its radius


def to_core(splat: Splat, node: str) -> Any:
    """Core's Types.SPLAT, a batch of one on the CPU. Raises DistillError, beginning with `node`, if ComfyUI has no
    splats."""
    if not hasattr(Types, "SPLAT"):
        raise DistillError(f"{node}: this version of ComfyUI has no splats. Update it to 0.22 or newer, or use "
                           "Extract Mesh.")
    columns = {"positions": to_splat_frame(splat.positions), "scales": splat.scales,
               "rotations": F.normalize(turn_to_splat_frame(splat.rotations), dim=-1), "opacities": splat.opacities,
               "sh": splat.sh}
    return Types.SPLAT(**{name: column.detach().float().cpu().contiguous()[None] for name, column in columns.items()})


def discs(points: Tensor, normals: Tensor, colors: Tensor, radius: float) -> Splat:
    """Opaque round Gaussian discs in a surface.

    points, normals [N,3] in our world, normals unit; colors [N,3] in [0,1], display-referred; radius: standard
    deviation, world units
    """
    scales = points.new_tensor([radius, radius, FLATNESS * radius]).expand(len(points), -1)
    return Splat(points, turning_z_to(normals), scales, points.new_ones(len(points), 1), sh_of(colors))
