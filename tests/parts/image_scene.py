"""The simplest scene: a picture that is its own parameters, the same from every camera."""
from dataclasses import dataclass

import torch
from torch import nn

from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.scene import Scene, SceneRecipe


class Picture(Scene):
    def __init__(self, size):
        super().__init__()
        self.pixels = nn.Parameter(torch.full((size, size, 3), 0.5) + 0.05 * torch.randn(size, size, 3))
        self.register_buffer("bounds", torch.tensor([[-1.0] * 3, [1.0] * 3]))

    def render(self, cameras, light=None, wanted=("rgb", "opacity"), *, step=0, streams=None, shading=None):
        rgb = self.pixels.expand(len(cameras), -1, -1, -1)
        if rgb.shape[1] != cameras.height:
            rgb = nn.functional.interpolate(rgb.permute(0, 3, 1, 2), (cameras.height,
                                                                      cameras.width)).permute(0, 2, 3, 1)
        return Rendering(rgb=rgb, opacity=torch.full_like(rgb[..., :1], 0.5), normal=torch.zeros_like(rgb))

    def parameter_groups(self):
        return {"color": [self.pixels]}


@dataclass(frozen=True)
class PictureRenderer:
    size: int = 8

    def build(self, field, material, background):
        return Picture(self.size)


@dataclass(frozen=True)
class Nothing:
    channels: int = 3
    channels_out: int = 3

    def build(self, *_, **__):
        return self


def picture_recipe(size=8, seed=0):
    return SceneRecipe(PictureRenderer(size), Nothing(), Nothing(), Nothing(), seed)
