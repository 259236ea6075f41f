"""DreamFusion Light: a point light at a random place on the camera's side."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..comfy import LIGHT, Node, io
from ..core.cameras import Cameras
from ..core.rendering import Light
from ..core.rng import Streams
from .light_range import check_distances


@dataclass(frozen=True)
class DreamFusionLight:
    """A point light at a random place on the camera's side: the camera's position plus N(0, spread^2), normalised.

    spread                         standard deviation of the shift, world units
    min_distance .. max_distance   uniform distance of the light from the origin, world units
    ambient, diffuse               colour = albedo * (ambient + diffuse * max(0, n.l))

    Source: Poole et al. 2022 (DreamFusion), app. A.2.
    """

    spread: float = 1.0
    min_distance: float = 0.8
    max_distance: float = 1.5
    ambient: float = 0.1
    diffuse: float = 0.9

    def __post_init__(self):
        check_distances("DreamFusion Light", self.min_distance, self.max_distance)

    def sample(self, cameras: Cameras, step: int, total: int, streams: Streams) -> Light:
        """One light per camera, drawn from the stream "light"."""
        generator, eye = streams("light"), cameras.position
        shift = torch.randn((len(cameras), 3), generator=generator).to(eye) * self.spread
        share = torch.rand((len(cameras), 1), generator=generator).to(eye)
        distance = self.min_distance + (self.max_distance - self.min_distance) * share
        one = eye.new_ones(len(cameras))
        return Light(F.normalize(eye + shift, dim=-1) * distance, self.ambient * one, self.diffuse * one)


class DreamFusionLightNode(Node):
    advanced = ("min_distance", "max_distance", "ambient", "diffuse")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DreamFusionLight", display_name="DreamFusion Light", category="Distill3D/cameras",
            description="A point light at a random place on the camera's side.",
            search_aliases=["random light", "point light", "shading"],
            inputs=[
                io.Float.Input("spread", default=1.0, min=0.0, max=10.0, step=0.05, tooltip="Standard deviation of the "
                               "light's random shift from the camera, world units."),
                io.Float.Input("min_distance", default=0.8, min=0.01, max=1000.0, step=0.05,
                               tooltip="Smallest distance of the light from the origin."),
                io.Float.Input("max_distance", default=1.5, min=0.01, max=1000.0, step=0.05,
                               tooltip="Largest distance of the light from the origin."),
                io.Float.Input("ambient", default=0.1, min=0.0, max=1.0, step=0.05, tooltip="Strength of the ambient "
                               "light."),
                io.Float.Input("diffuse", default=0.9, min=0.0, max=1.0, step=0.05, tooltip="Strength of the point "
                               "light."),
            ],
            outputs=[LIGHT.Output("light", tooltip="A sampler of lights for an Objective.")])

    @classmethod
    def execute(cls, spread=1.0, min_distance=0.8, max_distance=1.5, ambient=0.1, diffuse=0.9) -> io.NodeOutput:
        return io.NodeOutput(DreamFusionLight(spread, min_distance, max_distance, ambient, diffuse))
