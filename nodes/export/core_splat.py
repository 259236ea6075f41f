"""Core's SPLAT of points on a surface. Its frame is that of Gaussian splat files, y down and z away from the viewer."""
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...kernels.quaternion import turning_z_to
from ..comfy import Types
from ..core.errors import DistillError
from ..core.mesh import to_y_up

BAND_0 = 0.28209479177387814  # the constant spherical harmonic: core shows 0.5 + BAND_0 sh
FLATNESS = 0.1                # thickness of a disc over its radius


def to_splat_frame(vectors: Tensor) -> Tensor:
    """(x, y, z) of our z-up world -> (y, -z, -x), [...,3]: Y up as in viewers, then half a turn around x, which viewers of
    splats undo."""
    return to_y_up(vectors) * vectors.new_tensor([1.0, -1.0, -1.0])


def discs(points: Tensor, normals: Tensor, colors: Tensor, radius: float, node: str) -> Any:
    """Core's Types.SPLAT, a batch of one on the CPU: opaque round Gaussian discs that lie in the surface.

    points, normals [N,3] in our world, normals unit; colors [N,3] in [0,1], display-referred; radius: standard deviation,
    world units. Raises DistillError, beginning with `node`, where the host knows no splats.
    """
    if not hasattr(Types, "SPLAT"):
        raise DistillError(f"{node}: this ComfyUI has no splats yet; 0.22 has. Extract Mesh gives a mesh in any.")
    scales = points.new_tensor([radius, radius, FLATNESS * radius]).expand(len(points), -1)
    columns = {"positions": to_splat_frame(points), "scales": scales, "rotations": turning_z_to(to_splat_frame(normals)),
               "opacities": torch.ones_like(points[:, :1]), "sh": ((colors - 0.5) / BAND_0)[:, None]}
    return Types.SPLAT(**{name: column.detach().float().cpu().contiguous()[None] for name, column in columns.items()})
