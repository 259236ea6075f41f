"""Coloured surfaces for tests: a ball, optionally bumpy, coloured by position or by texture coordinates."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from distill3d.kernels.surface.mesh import vertex_normals
from distill3d.kernels.uv.box_atlas import box_atlas
from distill3d.nodes.core.field import Surface
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.mesh_rasterizer import MeshRasterizer
from mesh_field import Triangles, ball


@dataclass(frozen=True)
class Painted:
    """bumps: height of waves on the ball. atlas: features are a function of the texture coordinates, not of the place.
    extra: "floater" beside it, "nan" in one vertex, or "nothing" at all."""

    rings: int = 24
    bumps: float = 0.0
    atlas: bool = False
    extra: str = ""

    def build(self, channels):
        vertices, faces = ball(self.rings)
        vertices = vertices * (1 + self.bumps * torch.sin(12 * vertices).prod(1, keepdim=True))
        if self.extra == "floater":
            small, more = ball(5, 0.05)
            vertices, faces = torch.cat([vertices, small + 0.85]), torch.cat([faces, more + len(vertices)])
        if self.extra == "nan":
            vertices[3] = math.nan
        return PaintedSurface(vertices, faces[:0] if self.extra == "nothing" else faces, self.atlas, channels)


class PaintedSurface(Triangles):
    def __init__(self, vertices, faces, atlas, channels):
        super().__init__(vertices, faces)
        self.channels = channels
        self.uv, self.faces_uv, _ = box_atlas(vertices, faces) if atlas else (None, None, None)

    def surface(self):
        return Surface(self.vertices, self.faces, vertex_normals(self.vertices, self.faces), self.uv, self.faces_uv)

    def features(self, position, uv=None, footprint=None):
        place = position if self.uv is None else F.pad(2 * uv, (0, 1))
        phase = torch.arange(self.channels, dtype=place.dtype)
        return 1.5 * torch.sin(4 * place[:, torch.arange(self.channels) % 3] + phase)


def painted_recipe(material=Albedo(), **changes):
    """A SceneRecipe of the Mesh Rasterizer, over white."""
    return SceneRecipe(MeshRasterizer(), Painted(**changes), material, SolidBackground((1.0, 1.0, 1.0)))
