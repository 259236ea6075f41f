"""A textured triangle mesh in the pack's world axes. Wires between nodes carry core's MESH; nodes work on this one."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...kernels.surface.mesh import vertex_normals


@dataclass(frozen=True)
class Mesh:
    """One mesh in the pack's axes: right-handed, z up, front = +x.

    vertices       [V,3] world units
    faces          [F,3] int64, counter-clockwise seen from outside
    uv             [V,2] in [0,1] or None. (0, 0) is the outer corner of the texture's first texel, v grows from row
                   to row. A vertex whose faces need different UVs is duplicated; only seams are split
    texture        [H,W,3] in [0,1] or None: base colour, display-referred (sRGB), as pictures are on wires
    vertex_colors  [V,3] in [0,1] or None: base colour, display-referred. Never together with a texture
    normals        [V,3] unit or None: for shading, the same on both sides of a seam
    metallic_roughness  [H,W,3] in [0,1] or None: glTF's, linear: green is roughness, blue is metallic, red is unused
    normal_map     [H,W,3] in [0,1] or None: glTF's, linear: 0.5 + 0.5 n in the tangent space of kernels/uv/tangent.py
    opacity        [H,W] in [0,1] or None: of the texture, with the same size. None: opaque everywhere
    cutoff         threshold of the opacity: opaque at or above, invisible below (glTF's MASK). None: the surface is
                   blended with its background (BLEND)
    tangents       [V,4] or None: x of that space and the sign of its y. Present exactly with a normal map

    All maps use the same uv; their sizes may differ.
    """

    vertices: Tensor
    faces: Tensor
    uv: Tensor | None = None
    texture: Tensor | None = None
    vertex_colors: Tensor | None = None
    normals: Tensor | None = None
    metallic_roughness: Tensor | None = None
    normal_map: Tensor | None = None
    tangents: Tensor | None = None
    opacity: Tensor | None = None
    cutoff: float | None = None

    def to(self, device) -> "Mesh":
        tensors = {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **{name: value.to(device) for name, value in tensors.items()})


def to_y_up(vectors: Tensor) -> Tensor:
    """(x, y, z) of our z-up world -> (y, z, x), [...,3]: up becomes +Y, the front +Z, as glTF files and their viewers
    have it. A rotation, so nothing is mirrored."""
    return vectors.roll(-1, -1)


def from_y_up(vectors: Tensor) -> Tensor:
    """The inverse of `to_y_up`. [...,3]"""
    return vectors.roll(1, -1)


def weld(vertices: Tensor, faces: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Joins vertices at exactly the same place.

    vertices [V,3], faces [F,3]

    Returns vertices [P,3], faces [F,3] and place [V] int64: the new index of each old vertex. Faces that become
    degenerate (they had no area) are kept, so that the order of faces does not change.
    """
    if len(vertices) == 0:
        return vertices, faces, torch.zeros(0, dtype=torch.int64, device=vertices.device)
    places, place = torch.unique(vertices, dim=0, return_inverse=True)
    return places, place[faces], place


def first_at(place: Tensor, count: int) -> Tensor:
    """The lowest vertex index at each of `count` places: place [V] of `weld` -> [count] int64."""
    lowest = place.new_full((count,), len(place))
    return lowest.scatter_reduce(0, place, torch.arange(len(place), device=place.device), "amin")


def unit_scale(vertices: Tensor) -> float:
    """A power of two that scales vertices [V,3] to about size 1, so that squared areas do not overflow. Scaling by it
    is exact. 1 for meshes of usual sizes."""
    largest = float(vertices.abs().amax()) if len(vertices) else 0.0
    if not math.isfinite(largest) or largest == 0 or 2**-6 <= largest <= 2**10:
        return 1.0
    return 2.0 ** min(-math.frexp(largest)[1], 126)


def smooth_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals [V,3] for shading, equal for all vertices at one place, so that UV seams are invisible.

    Area-weighted means over the faces around the place, at any size of the mesh; +z where there is none.
    """
    places, joined, place = weld(vertices, faces)
    places = places * unit_scale(places)
    normals = vertex_normals(places, joined)
    normals[normals.square().sum(1) < 0.5] = torch.tensor([0.0, 0.0, 1.0], dtype=normals.dtype, device=normals.device)
    return normals[place]
