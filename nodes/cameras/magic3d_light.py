"""Magic3D Light: a point light within a cone around the direction of the camera."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..comfy import LIGHT, Node, io
from ..core.cameras import Cameras, look_at, on_sphere
from ..core.errors import DistillError
from ..core.rendering import Light
from ..core.rng import Streams
from .light_range import check_distances


@dataclass(frozen=True)
class Magic3DLight:
    """A point light within a cone around the direction of the camera.

    max_angle        half angle of the cone, degrees. The angle from the axis is uniform in 0 .. max_angle, the turn
                     around the axis uniform in a full circle
    min_distance .. max_distance  uniform distance of the light from the origin, world units
    soft_shading     draws diffuse = u from U(0, 1) and ambient = 1 - u for each view, and ignores the two numbers
    ambient, diffuse  colour = albedo * (ambient + diffuse * max(0, n.l))

    Source: Lin et al. 2023 (Magic3D), as in threestudio.
    """

    max_angle: float = 60.0
    min_distance: float = 0.8
    max_distance: float = 1.5
    soft_shading: bool = False
    ambient: float = 0.1
    diffuse: float = 0.9

    def __post_init__(self):
        check_distances("Magic3D Light", self.min_distance, self.max_distance)
        if not 0 <= self.max_angle <= 180:
            raise DistillError(f'Magic3D Light: "max_angle" must lie within 0 .. 180 degrees, got {self.max_angle}.')

    def sample(self, cameras: Cameras, step: int, total: int, streams: Streams) -> Light:
        """One light per camera, drawn from the stream "light"."""
        turn, angle, share, soft = torch.rand((4, len(cameras)), generator=streams("light")).to(cameras.position)
        local = on_sphere(2 * math.pi * turn, 0.5 * math.pi - math.radians(self.max_angle) * angle)
        direction = torch.einsum("bij,bj->bi", _frames(cameras.position), local)
        distance = self.min_distance + (self.max_distance - self.min_distance) * share
        if self.soft_shading:
            return Light(direction * distance[:, None], 1 - soft, soft)
        return Light(direction * distance[:, None], torch.full_like(soft, self.ambient),
                     torch.full_like(soft, self.diffuse))


def _frames(position: Tensor) -> Tensor:
    """Rotations [B,3,3] whose third axis points from the origin to `position` [B,3]."""
    up = position.new_tensor([0.0, 0.0, 1.0]).expand_as(position)
    return look_at(position, torch.zeros_like(position), up)[:, :3, :3]


class Magic3DLightNode(Node):
    advanced = ("max_angle", "min_distance", "max_distance", "soft_shading")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Magic3DLight", display_name="Magic3D Light", category="Distill3D/cameras",
            description="A point light within a cone around the direction of the camera.",
            search_aliases=["random light", "soft shading", "point light"],
            inputs=[
                io.Float.Input("max_angle", default=60.0, min=0.0, max=180.0, step=1.0,
                               tooltip="Largest angle between the light and the camera, seen from the origin, "
                                       "degrees."),
                io.Float.Input("min_distance", default=0.8, min=0.01, max=1000.0, step=0.05,
                               tooltip="Smallest distance of the light from the origin."),
                io.Float.Input("max_distance", default=1.5, min=0.01, max=1000.0, step=0.05,
                               tooltip="Largest distance of the light from the origin."),
                io.Boolean.Input("soft_shading", default=False, tooltip="Draw the strength of the point light for "
                                 "each view, uniform in 0 .. 1; ambient light is the rest. The two numbers below are "
                                 "then ignored."),
                io.Float.Input("ambient", default=0.1, min=0.0, max=1.0, step=0.05, tooltip="Strength of the ambient "
                               "light."),
                io.Float.Input("diffuse", default=0.9, min=0.0, max=1.0, step=0.05, tooltip="Strength of the point "
                               "light."),
            ],
            outputs=[LIGHT.Output("light", tooltip="A sampler of lights for an Objective.")])

    @classmethod
    def execute(cls, max_angle=60.0, min_distance=0.8, max_distance=1.5, soft_shading=False, ambient=0.1,
                diffuse=0.9) -> io.NodeOutput:
        return io.NodeOutput(Magic3DLight(max_angle, min_distance, max_distance, soft_shading, ambient, diffuse))
