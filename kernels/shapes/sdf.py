"""Signed distances of six primitives, and of shapes composed of them.

Every primitive has a frame of its own, upright along z and inside the cube [-1, 1]^3.
Distances are exact, so their gradients have norm 1 wherever they exist.
Formulas: I. Quilez, "Distance functions" (iquilezles.org/articles/distfunctions).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from ..checks import check_shape

PRIMITIVES = ("sphere", "cube", "cone", "cylinder", "torus", "capsule")
HALF_HEIGHT = {"sphere": 1.0, "cube": 0.8, "cone": 1.0, "cylinder": 0.9, "torus": 0.3, "capsule": 1.0}
HALF_WIDTH = {"sphere": 1.0, "cube": 0.8, "cone": 0.9, "cylinder": 0.75, "torus": 1.0, "capsule": 0.5}
# Radius about the origin that contains the primitive.
BOUNDING_RADIUS = {"sphere": 1.0, "cube": 1.386, "cone": 1.346, "cylinder": 1.172, "torus": 1.0, "capsule": 1.0}
PATTERNS = ("plain", "striped", "dotted")


class Parts(NamedTuple):
    """Placed and coloured primitives, P to a shape; leading dimensions are the batch.

    kind      [..., P]       int64, index into PRIMITIVES, -1 for an absent part
    center    [..., P, 3]    world position of the primitive's origin
    scale     [..., P]       > 0, world length of one unit of the primitive's frame
    rotation  [..., P, 3, 3] primitive frame to world
    color     [..., P, 3]    in [0, 1]
    pattern   [..., P]       int64, index into PATTERNS
    """

    kind: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor
    rotation: torch.Tensor
    color: torch.Tensor
    pattern: torch.Tensor

    def to(self, device) -> Parts:
        """The same parts on another device."""
        return Parts(*(value.to(device) for value in self))


def _length(*xs):
    # The floor keeps the gradient at the origin 0 instead of NaN.
    return sum(x * x for x in xs).clamp_min(1e-30).sqrt()


def _sphere(x, y, z):
    return _length(x, y, z) - 1.0


def _cube(x, y, z):
    qx, qy, qz = x.abs() - 0.8, y.abs() - 0.8, z.abs() - 0.8
    inside = torch.maximum(qx, torch.maximum(qy, qz)).clamp_max(0.0)
    return _length(qx.clamp_min(0.0), qy.clamp_min(0.0), qz.clamp_min(0.0)) + inside


def _cone(x, y, z):
    # Base of radius 0.9 at z = -1, apex at z = +1: distance to the base disc and to the slanted edge.
    r = _length(x, y)
    base_r, base_z = (r - 0.9).clamp_min(0.0), z + 1.0
    along = ((0.9 - r) * 0.9 + (z + 1.0) * 2.0).mul(1.0 / 4.81).clamp(0.0, 1.0)
    side_r, side_z = r - 0.9 * (1.0 - along), z + 1.0 - 2.0 * along
    distance = torch.minimum(base_r * base_r + base_z * base_z, side_r * side_r + side_z * side_z)
    inside = (z > -1.0) & (2.0 * r + 0.9 * z < 0.9)
    distance = distance.clamp_min(1e-30).sqrt()
    return torch.where(inside, -distance, distance)


def _cylinder(x, y, z):
    qr, qz = _length(x, y) - 0.75, z.abs() - 0.9
    return _length(qr.clamp_min(0.0), qz.clamp_min(0.0)) + torch.maximum(qr, qz).clamp_max(0.0)


def _torus(x, y, z):
    return _length(_length(x, y) - 0.7, z) - 0.3


def _capsule(x, y, z):
    return _length(x, y, z - z.clamp(-0.5, 0.5)) - 0.5


_DISTANCES = dict(zip(PRIMITIVES, (_sphere, _cube, _cone, _cylinder, _torus, _capsule)))


def primitive_sdf(primitive: str, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    """Signed distance of one primitive in its own frame, negative inside.

    primitive  a name in PRIMITIVES
    x, y, z    coordinates, any shape [...]

    Returns [...] in the unit of the frame. Differentiable in x, y and z.
    Raises ValueError for an unknown name.
    """
    if primitive not in _DISTANCES:
        raise ValueError(f"primitive_sdf: no primitive {primitive!r}. Choose one of {', '.join(PRIMITIVES)}.")
    return _DISTANCES[primitive](x, y, z)


def shape_sdf(parts: Parts, points: torch.Tensor) -> torch.Tensor:
    """Signed distance of the union of one shape's parts, negative inside.

    parts   Parts without batch dimension (kind [P], center [P, 3], ...)
    points  [N, 3] world

    Returns [N]. Exact outside; inside a bound, as the minimum over parts always is.
    Differentiable in points, center and scale. Raises ValueError when no part is present.
    """
    check_shape("parts.kind", parts.kind, "P")
    check_shape("points", points, "N", 3)
    distance = None
    for i, kind in enumerate(parts.kind.tolist()):
        if kind < 0:
            continue
        local = (points - parts.center[i]) @ parts.rotation[i] / parts.scale[i]
        one = primitive_sdf(PRIMITIVES[kind], *local.unbind(-1)) * parts.scale[i]
        distance = one if distance is None else torch.minimum(distance, one)
    if distance is None:
        raise ValueError("shape_sdf: the shape has no parts (every kind is -1).")
    return distance
