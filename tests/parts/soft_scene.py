"""A small volume scene with a known surface."""
from __future__ import annotations

from dataclasses import dataclass

import torch

from distill3d.nodes.core.field import FieldOutput, VolumeField
from distill3d.nodes.core.material import Background, Material
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.scene import Scene, SceneRecipe


@dataclass(frozen=True)
class SoftShape:
    """Density peak * sigmoid(-distance / softness) of a "ball", "box", "cone" (tip up), or "shell" (a hollow ball),
    plus whatever else is named in `extra`; features are the colour, a function of the place."""

    kind: str = "ball"
    peak: float = 80.0
    softness: float = 0.01
    size: float = 0.6
    extra: str = ""

    def build(self, channels=3):
        return SoftField(self)


class SoftField(VolumeField):
    def __init__(self, shape):
        super().__init__()
        self.shape = shape
        self.register_buffer("bounds", torch.tensor([[-1.0] * 3, [1.0] * 3]))

    def parameter_groups(self):
        return {}

    def distance(self, x):
        shape, radius = self.shape, x.norm(dim=-1)
        if shape.kind == "ball":
            return radius - shape.size
        if shape.kind == "shell":
            return (radius - shape.size + 0.1).abs() - 0.1
        if shape.kind == "box":
            return (x.abs() - torch.tensor([0.6, 0.45, 0.35])).amax(-1)
        slope = x[:, :2].norm(dim=-1) - 0.6 * (0.8 - x[:, 2]) / 1.5
        return torch.maximum(slope, -0.7 - x[:, 2])

    def density(self, x):
        distance = self.distance(x)
        if self.shape.extra == "floater":
            distance = torch.minimum(distance, (x - 0.85).norm(dim=-1) - 0.06)
        return self.shape.peak * torch.sigmoid(-distance / self.shape.softness)

    def forward(self, x, variance=None, normals=False):
        color = 0.5 + 0.4 * torch.sin(2.5 * x + torch.tensor([0.0, 1.0, 2.0]))
        return FieldOutput(self.density(x), color, torch.nn.functional.normalize(x, dim=-1) if normals else None)


class Plain(Material):
    channels = 3

    def build(self):
        return Plain()

    def needs_normal(self, mode):
        return False

    def forward(self, features, normal, position, light, mode):
        return features, features


class White(Background):
    def build(self, channels=3):
        return White()

    def forward(self, directions, streams=None):
        return torch.ones_like(directions)


class MarchRecipe:
    def build(self, *, field, material, background):
        return MarchScene(field, material, background)


class MarchScene(Scene):
    """Dense ray marching, enough for pictures of SoftShape."""

    steps = 80
    is_volume = True

    def __init__(self, field, material, background):
        super().__init__()
        self.field, self.material, self.background = field, material, background

    @property
    def bounds(self):
        return self.field.bounds

    def render(self, cameras, light=None, wanted=("rgb", "opacity"), *, step=0, streams=None, shading=None):
        origin, direction = cameras.rays()
        near = cameras.distance[:, None, None, None] - 1.6
        delta = 3.2 / self.steps
        t = near + delta * (torch.arange(self.steps) + 0.5)
        x = origin[..., None, :] + t[..., None] * direction[..., None, :]
        within = (x.abs() <= 1).all(-1)
        found = self.field(x[within])
        optical = torch.zeros(x.shape[:-1]).masked_scatter(within, found.density * delta)
        features = torch.zeros_like(x).masked_scatter(within[..., None], found.features)
        weight = torch.exp(optical - optical.cumsum(-1)) * (1 - torch.exp(-optical))
        opacity = weight.sum(-1, keepdim=True)
        albedo = (weight[..., None] * features).sum(-2)
        normal = (weight[..., None] * torch.nn.functional.normalize(x, dim=-1)).sum(-2)
        return Rendering(rgb=albedo + (1 - opacity) * self.background(direction), opacity=opacity,
                         albedo=albedo, normal=normal if "normal" in wanted else None)


def soft_recipe(notes=None, **changes) -> SceneRecipe:
    """The scene of a SoftShape with these fields."""
    return SceneRecipe(MarchRecipe(), SoftShape(**changes), Plain(), White(), notes=notes)
