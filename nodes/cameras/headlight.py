"""Camera Light: soft light from about where the camera is."""
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
    """Soft light from about where the camera is: what the built-in prior's pictures are lit by.

    spread       standard deviation of the light's direction, relative to the camera's unit direction
    lift         added to the direction's z, so that light rather comes from above
    min_ambient .. max_ambient   drawn per view; diffuse is the rest: colour = albedo * (ambient + diffuse max(0, n.l))
    distance     of the light from the origin, world units; far away, all of its rays are parallel
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
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_CameraLight", display_name="Camera Light", category="Distill3D/cameras",
            description="Soft light from about where the camera is: what the built-in prior's pictures are lit by.",
            search_aliases=["headlight", "soft light", "ambient", "built-in prior light"],
            inputs=[
                io.Float.Input("spread", default=0.5, min=0.0, max=10.0, step=0.05, tooltip="How far the light strays "
                               "from the camera's direction: standard deviation, 1 is the camera's direction itself."),
                io.Float.Input("lift", default=0.3, min=0.0, max=10.0, step=0.05,
                               tooltip="Raises the light's direction, so that it rather comes from above."),
                io.Float.Input("min_ambient", default=0.4, min=0.0, max=1.0, step=0.05,
                               tooltip="Smallest share of light from everywhere; the light itself gives the rest."),
                io.Float.Input("max_ambient", default=1.0, min=0.0, max=1.0, step=0.05,
                               tooltip="Largest share of light from everywhere."),
                io.Float.Input("distance", default=100.0, min=0.1, max=10000.0, step=0.1,
                               tooltip="Distance of the light from the origin; far away its rays are parallel."),
            ],
            outputs=[LIGHT.Output("light", tooltip="A sampler of lights for an Objective.")])

    @classmethod
    def execute(cls, spread=0.5, lift=0.3, min_ambient=0.4, max_ambient=1.0, distance=100.0) -> io.NodeOutput:
        return io.NodeOutput(CameraLight(spread, lift, min_ambient, max_ambient, distance))
