"""Evaluations of stand-ins whose result is the truth, or known to be wrong. Tiny pictures."""
from dataclasses import dataclass
from typing import ClassVar

import torch

from distill3d.kernels.shapes.sdf import Parts, shape_sdf
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.nodes.comfy import Types
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.shapes.caption import parse_shape, shape_parts
from distill3d.runner.evaluation import Evaluation
from distill3d.runner.product import Product

PROMPTS = ("a red cube", "a blue cube", "a red torus")


@dataclass(frozen=True)
class TrueScene:
    """Stands for a trained SCENE: its pictures are those of a caption's true shape."""

    caption: str
    is_surface: ClassVar[bool] = False
    is_volume: ClassVar[bool] = False

    def build(self, device="cpu"):
        return self

    def render(self, cameras, light=None, wanted=("rgb", "opacity"), *, step=0, streams=None, shading=None):
        return true_rendering(parse_shape(self.caption), cameras, 1)


def true_mesh(caption, size=32):
    parts = Parts(*(value[0] for value in shape_parts([parse_shape(caption)])))
    axis = torch.linspace(-1.1, 1.1, size)
    points = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1)
    vertices, faces = isosurface(-shape_sdf(parts, points.view(-1, 3)).view(size, size, size), 0.0,
                                 [[-1.1] * 3, [1.1] * 3])
    x, y, z = vertices.unbind(1)
    return Types.MESH(vertices=torch.stack([x, z, -y], 1)[None], faces=faces[None])


class Maker:
    """Makes what `made` says for a prompt, the truth otherwise, and remembers what it was asked for."""

    def __init__(self, **made):
        self.made, self.asked = {key.replace("_", " "): value for key, value in made.items()}, []

    def __call__(self, prompt, seed, name):
        self.asked.append((prompt, seed, name))
        made = self.made.get(prompt, prompt)
        if isinstance(made, BaseException):
            raise made
        return Product(TrueScene(made), true_mesh(made), 1.5, 1.0)


def evaluation(make, **settings):
    return Evaluation(PROMPTS, make, **{"seed": 3, "size": 16, "points": 3000, **settings})
