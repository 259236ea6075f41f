"""Turntable: pictures of a scene from all around."""
from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ..comfy import SCENE, Node, host, io
from ..core.cameras import Cameras, turntable
from ..core.errors import DistillError
from ..core.rendering import Light, Rendering
from ..core.scene import SceneRecipe
from .tick import Tick, host_tick, no_tick

NAME = "Turntable"
SHADINGS = ("albedo", "shaded", "textureless", "normal")
BACKGROUNDS = {"scene": None, "white": 1.0, "grey": 0.5, "black": 0.0}
# Room around the content when the distance is chosen automatically.
MARGIN = 1.1


def render_turntable(recipe: SceneRecipe, frames: int = 24, size: int = 256, elevation: float = 15.0,
                     distance: float = 0.0, fovy: float = 40.0, shading: str = "albedo", background: str = "white",
                     device: str | torch.device = "cpu", tick: Tick = no_tick) -> Tensor:
    """`frames` pictures [N,size,size,3] in [0,1] on the CPU, the first from the front (+x), turning towards +y.

    elevation, fovy  degrees
    distance         of the camera from the origin; 0: the scene's bounds just fill the picture
    shading          "albedo" unlit, "shaded" lit from beside the camera, "textureless" the same in white, or "normal":
                     world-space normals, 0.5 + 0.5 n
    background       "scene" keeps the scene's own (normals: grey); "white", "grey" or "black"

    Raises DistillError for other names.
    """
    if shading not in SHADINGS or background not in BACKGROUNDS:
        raise DistillError(f'{NAME}: shading "{shading}" must be one of {", ".join(SHADINGS)} and background '
                           f'"{background}" one of {", ".join(BACKGROUNDS)}.')
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        if distance <= 0:
            distance = MARGIN * float(scene.bounds.abs().amax()) / math.sin(math.radians(fovy) / 2)
        cameras = turntable(frames, elevation, distance, fovy, size).to(scene.bounds.device)
        pictures = []
        for frame in range(frames):
            tick(frame / frames)
            pictures.append(_picture(scene, cameras.take([frame]), shading, BACKGROUNDS[background]).cpu())
    return torch.cat(pictures)


def _picture(scene: nn.Module, camera: Cameras, shading: str, grey: float | None) -> Tensor:
    if shading == "normal":
        seen = scene.render(camera, wanted=("normal", "opacity"), shading="albedo")
        return (0.5 * (seen.normal + seen.opacity) + (1 - seen.opacity) * (0.5 if grey is None else grey)).clamp(0, 1)
    seen = scene.render(camera, _headlight(camera), ("rgb", "opacity"), shading=shading)
    return (seen.rgb if grey is None else _over(scene, seen, camera, grey)).clamp(0, 1)


def _over(scene: nn.Module, seen: Rendering, camera: Cameras, grey: float) -> Tensor:
    """The rendering over another background: the scene's own is taken out of the transparent share of each pixel."""
    own = scene.background(camera.rays()[1], None)
    return seen.rgb + (1 - seen.opacity) * (grey - own)


def _headlight(camera: Cameras) -> Light:
    """Beside and above the camera, so that shapes have shades but no side is dark."""
    right, up = camera.c2w[:, :3, 0], camera.c2w[:, :3, 1]
    position = camera.position + camera.distance[:, None] * (0.4 * right + 0.6 * up)
    one = torch.ones_like(camera.distance)
    return Light(position, 0.3 * one, 0.7 * one)


class TurntableNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Turntable", display_name=NAME, category="Distill3D/export",
            description="Pictures of a scene from all around. Goes on to Save Animation or any image node.",
            search_aliases=["orbit video", "360", "render scene"],
            inputs=[
                SCENE.Input("scene", tooltip="Any scene."),
                io.Int.Input("frames", default=24, min=1, max=720, tooltip="Pictures of one full turn."),
                io.Int.Input("size", default=256, min=16, max=2048, step=8, tooltip="Width and height, pixels."),
                io.Float.Input("elevation", default=15.0, min=-90.0, max=90.0, step=1.0,
                               tooltip="Degrees of the camera above the horizon."),
                io.Float.Input("distance", default=0.0, min=0.0, max=100.0, step=0.1,
                               tooltip="Of the camera from the centre. 0: the scene's bounds just fill the picture."),
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
