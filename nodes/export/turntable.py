"""Turntable: pictures of a scene from all around."""
from __future__ import annotations

import torch
from torch import Tensor

from ..comfy import SCENE, Node, host, host_tick, io
from ..core.cameras import turntable
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from .still import BACKGROUNDS, SHADINGS, check_look, filling_distance, still

NAME = "Turntable"


def render_turntable(recipe: SceneRecipe, frames: int = 24, size: int = 256, elevation: float = 15.0,
                     distance: float = 0.0, fovy: float = 40.0, shading: str = "albedo", background: str = "white",
                     device: str | torch.device = "cpu", tick: Tick = no_tick) -> Tensor:
    """`frames` pictures [N,size,size,3] in [0,1] on the CPU, the first from the front (+x), turning towards +y.

    elevation, fovy      degrees
    distance             of the camera from the origin; 0: the scene's bounds fit the picture
    shading, background  see `still`

    Raises DistillError for other names.
    """
    check_look(shading, background, NAME)
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        if distance <= 0:
            distance = filling_distance(scene, fovy)
        cameras = turntable(frames, elevation, distance, fovy, size).to(scene.bounds.device)
        pictures = []
        for frame in range(frames):
            tick(frame / frames)
            pictures.append(still(scene, cameras.take([frame]), shading, background)[0].cpu())
    return torch.cat(pictures)


class TurntableNode(Node):
    advanced = ("elevation", "distance", "fovy", "background")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Turntable", display_name=NAME, category="Distill3D/export",
            description="Pictures of a scene from all around. They go to Save Animation or any image node.",
            search_aliases=["orbit video", "360", "render scene"],
            inputs=[
                SCENE.Input("scene", tooltip="Any scene."),
                io.Int.Input("frames", default=24, min=1, max=720, tooltip="Pictures of one full turn."),
                io.Int.Input("size", default=256, min=16, max=2048, step=8, tooltip="Width and height, pixels."),
                io.Float.Input("elevation", default=15.0, min=-90.0, max=90.0, step=1.0,
                               tooltip="Degrees of the camera above the horizon."),
                io.Float.Input("distance", default=0.0, min=0.0, max=100.0, step=0.1,
                               tooltip="Distance of the camera from the centre. 0: the scene's bounds fit the "
                                       "picture."),
                io.Float.Input("fovy", default=40.0, min=1.0, max=120.0, step=1.0,
                               tooltip="Vertical field of view, degrees."),
                io.Combo.Input("shading", options=list(SHADINGS), default="albedo",
                               tooltip="albedo: unlit colour. shaded: lit. textureless: lit, without colour. normal: "
                                       "directions as colours."),
                io.Combo.Input("background", options=list(BACKGROUNDS), default="white",
                               tooltip="scene keeps the scene's own background.")],
            outputs=[io.Image.Output("images", tooltip="The pictures, in turning order.")],
            hidden=[io.Hidden.unique_id])

    @classmethod
    def execute(cls, scene, frames=24, size=256, elevation=15.0, distance=0.0, fovy=40.0, shading="albedo",
                background="white") -> io.NodeOutput:
        tick = host_tick(cls.hidden.unique_id, NAME)
        images = render_turntable(scene, frames, size, elevation, distance, fovy, shading, background,
                                  host().device(), tick)
        tick(1.0)
        return io.NodeOutput(images)
