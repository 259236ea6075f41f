"""Rotations as quaternions wxyz."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from .checks import check_shape


def rotation_matrices(quaternions: torch.Tensor) -> torch.Tensor:
    """quaternions [N,4] wxyz of any length but 0 -> rotations [N,3,3], whose columns are the rotated axes.
    Differentiable."""
    check_shape("quaternions", quaternions, "N", 4)
    w, x, y, z = F.normalize(quaternions, dim=-1).unbind(-1)
    return torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
                        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
                        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1).view(-1, 3, 3)


def multiply(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Products left * right [N,4] wxyz of quaternions [N,4] or [1,4]: rotation by `right`, then by `left`.
    Differentiable."""
    check_shape("left", left, None, 4)
    check_shape("right", right, None, 4)
    a, b, c, d = left.unbind(-1)
    w, x, y, z = right.unbind(-1)
    return torch.stack([a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y,
                        a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w], -1)


def turning_z_to(directions: torch.Tensor) -> torch.Tensor:
    """The shortest rotations that take +z to unit directions [N,3], as unit quaternions [N,4] wxyz.

    -z has no unique shortest rotation; it gets the half turn around x. Not meant for gradients.
    """
    check_shape("directions", directions, "N", 3)
    x, y, z = directions.unbind(-1)
    turned = torch.stack([1 + z, -y, x, torch.zeros_like(z)], -1)
    around_x = torch.tensor([0.0, 1, 0, 0], dtype=directions.dtype, device=directions.device)
    # Nearer to -z than this, the axis would be determined by rounding.
    return F.normalize(torch.where(turned[:, :1] < 1e-6, around_x, turned), dim=-1)
