"""Camera Light: a soft light from near the camera, as in the training pictures of the built-in prior."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from ..comfy import LIGHT, Node, io
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.rendering import Light
from ..core.rng import Streams


@dataclass(frozen=True)
class CameraLight:
    """A soft light from near the camera, as in the training pictures of the built-in prior.

    spread       standard deviation of the random shift of the light's direction from the camera's unit direction
    lift         added to the z of the direction, so that the light is higher than the camera on average
    min_ambient .. max_ambient   uniform for each view; diffuse = 1 - ambient. colour = albedo * (ambient + diffuse *
                 max(0, n.l))
    distance     of the light from the origin, world units; a distant light has parallel rays
    """

    spread: float = 0.5
    lift: float = 0.3
    min_ambient: float = 0.4
    max_ambient: float = 1.0
    distance: float = 100.0

    def __post_init__(self):
        if not 0 <= self.min_ambient <= self.max_ambient <= 1:
            raise DistillError(f'Camera Light: "min_ambient" ({self.min_ambient}) and "max_ambient" '
                               f'({self.max_ambient}) must lie within 0 .. 1 and in this order.')

    def sample(self, cameras: Cameras, step: int, total: int, streams: Streams) -> Light:
        """One light per camera, drawn from the stream "light"."""
        generator, eye = streams("light"), F.normalize(cameras.position, dim=-1)
        shift = torch.randn((len(cameras), 3), generator=generator).to(eye) * self.spread
        share = torch.rand(len(cameras), generator=generator).to(eye)
        direction = F.normalize(eye + shift + eye.new_tensor([0.0, 0.0, self.lift]), dim=-1)
        ambient = self.min_ambient + (self.max_ambient - self.min_ambient) * share
        return Light(direction * self.distance, ambient, 1 - ambient)


class CameraLightNode(Node):
    advanced = ("spread", "lift", "distance")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_CameraLight", display_name="Camera Light", category="Distill3D/cameras",
            description="A soft light from near the camera, as in the training pictures of the built-in prior.",
            search_aliases=["headlight", "soft light", "ambient", "built-in prior light"],
            inputs=[
                io.Float.Input("spread", default=0.5, min=0.0, max=10.0, step=0.05, tooltip="Standard deviation of the "
                               "random shift of the light's direction, in lengths of the camera's unit direction."),
                io.Float.Input("lift", default=0.3, min=0.0, max=10.0, step=0.05,
                               tooltip="Added to the z of the light's direction: larger values light from higher up."),
                io.Float.Input("min_ambient", default=0.4, min=0.0, max=1.0, step=0.05,
                               tooltip="Smallest share of ambient light; the rest is the light near the camera."),
                io.Float.Input("max_ambient", default=1.0, min=0.0, max=1.0, step=0.05,
                               tooltip="Largest share of ambient light."),
                io.Float.Input("distance", default=100.0, min=0.1, max=10000.0, step=0.1,
                               tooltip="Distance of the light from the origin, world units. A distant light has "
                                       "parallel rays."),
            ],
            outputs=[LIGHT.Output("light", tooltip="A sampler of lights for an Objective.")])

    @classmethod
    def execute(cls, spread=0.5, lift=0.3, min_ambient=0.4, max_ambient=1.0, distance=100.0) -> io.NodeOutput:
        return io.NodeOutput(CameraLight(spread, lift, min_ambient, max_ambient, distance))
