"""glTF's tangent space: the directions of a texture's axes on the surface, and normals in those axes.

x runs along the tangent, in which u grows; z is the normal; y = sign * (normal x tangent) points to the TOP of the
texture, against glTF's v. Charts that are not mirrored have sign +1. This is what viewers assume (MikkTSpace's frame
for a v that grows upwards, Mikkelsen 2008), with tangents of area-weighted faces.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F

from ..checks import check_shape


def vertex_tangents(vertices: torch.Tensor, faces: torch.Tensor, uv: torch.Tensor,
                    normals: torch.Tensor) -> torch.Tensor:
    """glTF's TANGENT of each vertex.

    vertices  [V,3]
    faces     [F,3] int64
    uv        [V,2], (0, 0) the texture's first texel
    normals   [V,3] unit

    Returns [V,4]: a unit vector at a right angle to the normal, and the sign of y, +1 or -1. Where the UVs have no area
    the tangent is any such vector. No gradient. Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, "F", 3)
    check_shape("uv", uv, len(vertices), 2)
    check_shape("normals", normals, len(vertices), 3)
    a, b, c = faces.unbind(1)
    one, two = vertices[b] - vertices[a], vertices[c] - vertices[a]
    (u1, v1), (u2, v2) = (uv[b] - uv[a]).unbind(1), (uv[c] - uv[a]).unbind(1)
    area = u1 * v2 - u2 * v1
    # The direction of growing u, with its weight as length: no division by the area in the texture.
    along = (v2[:, None] * one - v1[:, None] * two) * area.sign()[:, None]
    total = torch.zeros_like(vertices).index_add(0, faces.flatten(), along.repeat_interleave(3, 0))
    turn = area.new_zeros(len(vertices)).index_add(0, faces.flatten(), area.repeat_interleave(3))
    flat = total - (total * normals).sum(1, keepdim=True) * normals
    exists = flat.norm(dim=1, keepdim=True) > 1e-6 * total.norm(dim=1, keepdim=True).clamp(min=1e-24)
    tangent = F.normalize(torch.where(exists, flat, _any_perpendicular(normals)), dim=1, eps=1e-30)
    return torch.cat([tangent, torch.where(turn > 0, -1.0, 1.0).to(tangent)[:, None]], 1)


def to_tangent_space(direction: torch.Tensor, normal: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    """direction [N,3] in the axes of normal [N,3] and tangent [N,4], as unit vectors [N,3].

    The exact inverse of `from_tangent_space`, up to length. Normal and tangent may be interpolated, neither unit nor
    orthogonal.
    """
    x, y, z = _axes(normal, tangent)
    solved = torch.stack([(direction * torch.linalg.cross(y, z)).sum(1), (direction * torch.linalg.cross(z, x)).sum(1),
                          (direction * torch.linalg.cross(x, y)).sum(1)], 1)
    return F.normalize(solved * (x * torch.linalg.cross(y, z)).sum(1, keepdim=True).sign(), dim=1)


def from_tangent_space(local: torch.Tensor, normal: torch.Tensor, tangent: torch.Tensor) -> torch.Tensor:
    """The unit world direction [N,3] of `local` [N,3], given in the axes of normal [N,3] and tangent [N,4]."""
    x, y, z = _axes(normal, tangent)
    return F.normalize(local[:, :1] * x + local[:, 1:2] * y + local[:, 2:] * z, dim=1)


def _axes(normal: torch.Tensor, tangent: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    z, x = F.normalize(normal, dim=1), F.normalize(tangent[:, :3], dim=1)
    return x, F.normalize(torch.linalg.cross(z, x), dim=1) * tangent[:, 3:].sign(), z


def _any_perpendicular(normals: torch.Tensor) -> torch.Tensor:
    """normals [V,3] -> [V,3] not zero, at right angles to them."""
    axis = F.one_hot(normals.abs().argmin(1), 3).to(normals)
    return torch.linalg.cross(normals, axis)
