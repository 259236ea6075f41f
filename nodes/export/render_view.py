"""Render View: one picture of a scene, from the camera of a 3D viewer or from chosen angles."""
from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ..assets.core_camera import camera_from_core
from ..comfy import CAMERA_3D, MODEL_3D, SCENE, Node, host, io
from ..core.cameras import orbit
from ..core.scene import SceneRecipe
from .still import BACKGROUNDS, SHADINGS, check_look, filling_distance, still

NAME = "Render View"


def render_view(recipe: SceneRecipe, height: int = 512, width: int = 512, elevation: float = 15.0, azimuth: float = 0.0,
                distance: float = 0.0, fovy: float = 40.0, shading: str = "albedo", background: str = "white",
                camera: Any = None, models: Any = None, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """A picture [1,H,W,3] in [0,1] and its opacity [1,H,W], on the CPU.

    elevation, azimuth, fovy  degrees; distance from the origin, 0: the bounds just fill the height
    shading, background       see `still`
    camera, models            core's LOAD3D_CAMERA instead of the angles, and LOAD3D_MODEL_INFO; see `camera_from_core`

    Raises DistillError.
    """
    check_look(shading, background, NAME)
    with torch.inference_mode(False), torch.no_grad():
        scene = recipe.build(device)
        if camera is None:
            distance = distance if distance > 0 else filling_distance(scene, fovy)
            cameras = orbit(math.radians(azimuth), math.radians(elevation), distance, math.radians(fovy), height, width)
        else:
            cameras = camera_from_core(camera, height, width, NAME, models)
        rgb, opacity = still(scene, cameras.to(scene.bounds.device), shading, background)
    return rgb.cpu(), opacity[..., 0].clamp(0, 1).cpu()


class RenderViewNode(Node):
    advanced = ("distance", "fovy", "shading", "background")

    @classmethod
    def define_schema(cls):
        def number(id, default, low, high, tooltip):
            return io.Float.Input(id, default=default, min=low, max=high, step=1.0 if high > 100 else 0.1,
                                  tooltip=tooltip)

        return io.Schema(
            node_id="Distill3D_RenderView", display_name=NAME, category="Distill3D/export",
            description="One picture of a scene, from the camera of a 3D viewer or from chosen angles.",
            search_aliases=["still", "snapshot", "camera_info", "render scene"],
            inputs=[
                SCENE.Input("scene", tooltip="Any scene."),
                io.Int.Input("width", default=512, min=16, max=4096, step=8, tooltip="Width of the picture, pixels."),
                io.Int.Input("height", default=512, min=16, max=4096, step=8, tooltip="Height of the picture, pixels."),
                number("elevation", 15.0, -90.0, 90.0, "Elevation of the camera, degrees."),
                number("azimuth", 0.0, -360.0, 360.0, "Azimuth of the camera, degrees; 0 is the front."),
                number("distance", 0.0, 0.0, 100.0, "Distance of the camera from the centre. 0: the scene's bounds fit "
                                                    "the height."),
                number("fovy", 40.0, 1.0, 120.0, "Vertical field of view, degrees."),
                io.Combo.Input("shading", options=list(SHADINGS), default="albedo",
                               tooltip="albedo: unlit colour. shaded: lit. textureless: lit, without colour. normal: "
                                       "directions as colours."),
                io.Combo.Input("background", options=list(BACKGROUNDS), default="white",
                               tooltip="Colour behind the object. scene: the background of the scene."),
                CAMERA_3D.Input("camera_info", optional=True, tooltip="A camera of Load 3D, Preview 3D or Create "
                                "Camera Info. It replaces elevation, azimuth, distance and fovy."),
                MODEL_3D.Input("model_3d_info", optional=True, tooltip="Transform of the object in the 3D viewer: "
                               "position, rotation and scale.")],
            outputs=[io.Image.Output("image", tooltip="The picture."),
                     io.Mask.Output("mask", tooltip="Opacity of each pixel, 1 on the object.")])

    @classmethod
    def execute(cls, scene, width=512, height=512, elevation=15.0, azimuth=0.0, distance=0.0, fovy=40.0,
                shading="albedo", background="white", camera_info=None, model_3d_info=None) -> io.NodeOutput:
        return io.NodeOutput(*render_view(scene, height, width, elevation, azimuth, distance, fovy, shading, background,
                                          camera_info, model_3d_info, host().device()))
