"""Surfaces with parameters: a ball of triangles, or triangles given by a test."""
import math
from dataclasses import dataclass

import torch
from torch import nn

from distill3d.kernels.surface.mesh import vertex_normals
from distill3d.nodes.core.field import Surface, SurfaceField


def ball(rings=8, radius=0.7, dtype=torch.float32):
    """Vertices [V,3] and outward faces [F,3] of a sphere of 4 rings (rings - 1) triangles around z."""
    around = 2 * rings
    turn, height = (torch.arange(n, dtype=dtype) * (math.pi / rings) for n in (around, rings + 1))
    height, turn = torch.meshgrid(height[1:-1], turn, indexing="ij")
    side = torch.stack([height.sin() * turn.cos(), height.sin() * turn.sin(), height.cos()], -1).reshape(-1, 3)
    vertices = torch.cat([side, torch.tensor([[0, 0, 1.0], [0, 0, -1.0]], dtype=dtype)])
    row, column = torch.meshgrid(torch.arange(rings - 2), torch.arange(around), indexing="ij")
    a, b = row * around + column, row * around + (column + 1) % around
    quads = torch.stack([torch.stack([a, a + around, b], -1), torch.stack([b, a + around, b + around], -1)])
    first, second = torch.arange(around), (torch.arange(around) + 1) % around
    last, top = (rings - 2) * around, len(side)
    caps = [torch.stack([torch.full_like(first, top), first, second], 1),
            torch.stack([torch.full_like(first, top + 1), last + second, last + first], 1)]
    return radius * vertices, torch.cat([quads.reshape(-1, 3), *caps])


class Triangles(SurfaceField):
    """A SurfaceField of given triangles. Features are one vector everywhere, or a color per vertex by nearest
    vertex."""

    def __init__(self, vertices, faces, features=(2.0, 0.0, -2.0)):
        super().__init__()
        self.vertices = nn.Parameter(vertices.clone())
        self.color = nn.Parameter(torch.tensor(features))
        self.register_buffer("faces", faces)
        self.register_buffer("bounds", torch.tensor([[-1.0] * 3, [1.0] * 3]), persistent=False)

    def surface(self):
        return Surface(self.vertices, self.faces, vertex_normals(self.vertices, self.faces))

    def features(self, position, uv=None, footprint=None):
        return self.color.expand(len(position), -1)

    def parameter_groups(self):
        return {"position": [self.vertices], "color": [self.color]}


@dataclass(frozen=True)
class Ball:
    rings: int = 8
    radius: float = 0.7

    def build(self, channels):
        return Triangles(*ball(self.rings, self.radius))
