"""The kinds of image of a rendering that a prior can receive, by the names in the widget "image" of loss nodes."""
from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ...kernels.image.geometry import nearness, unit_normals, view_normals
from .cameras import Cameras
from .errors import DistillError
from .rendering import Rendering

NORMAL_DEPTH, ALBEDO_DEPTH, LATENT = "normal and depth", "albedo and depth", "latent"
UNIT_NORMAL = "unit normal over black"


class Shown(NamedTuple):
    """A kind of image.

    fields    names of the fields of Rendering that it needs besides the opacity
    channels  C; None: the channels of the scene's material
    bounded   whether values are in [0,1]
    behind    the background of the image, in words
    """

    fields: frozenset[str]
    channels: int | None
    bounded: bool
    behind: str


IMAGES = {
    "rgb": Shown(frozenset({"rgb"}), None, True, "the scene's background"),
    "normal": Shown(frozenset({"normal"}), 3, True, "grey"),
    "camera normal": Shown(frozenset({"normal"}), 3, True, "a surface that faces the camera (0.5, 0.5, 1)"),
    NORMAL_DEPTH: Shown(frozenset({"normal", "depth"}), 4, True, "a surface that faces the camera, infinitely far"),
    ALBEDO_DEPTH: Shown(frozenset({"albedo", "depth"}), 4, True, "white, infinitely far"),
    LATENT: Shown(frozenset({"rgb"}), None, False, "the scene's background"),
    UNIT_NORMAL: Shown(frozenset({"normal"}), 3, True, "black"),
}

# Half the range of the depth channel, world units: the half diagonal of the cube [-1,1]^3 (RichDreamer).
REACH = math.sqrt(3)


def picture(rendering: Rendering, cameras: Cameras, image: str) -> Tensor:
    """The image [B,H,W,C] of a rendering, in [0,1] unless IMAGES says otherwise. Differentiable in the rendering.

    image  "rgb": the colours
           "normal": world normals over grey, weight-summed (C = 3)
           "unit normal over black": kernels.image.geometry.unit_normals, as in threestudio
           "camera normal": kernels.image.geometry.view_normals
           "normal and depth": camera normals, and nearness (kernels.image.geometry) as a fourth channel, for objects
           within about the unit ball
           "albedo and depth": unlit colours over white, which is the training background of the prior, and nearness
           "latent": the channels of a scene with a Latent material, for priors with the same number of latent channels
    """
    if image in ("rgb", LATENT):
        return rendering.rgb
    if image == "normal":
        return rendering.normal * 0.5 + 0.5
    if image == UNIT_NORMAL:
        return unit_normals(rendering.normal, rendering.opacity)
    if image == "camera normal":
        return view_normals(rendering.normal, rendering.opacity, cameras.c2w)
    _, directions = cameras.rays()
    near = nearness(rendering.depth, rendering.opacity, directions, cameras.c2w, cameras.distance, REACH)
    if image == NORMAL_DEPTH:
        return torch.cat([view_normals(rendering.normal, rendering.opacity, cameras.c2w), near], -1)
    return torch.cat([rendering.albedo + (1 - rendering.opacity), near], -1)


def check_shown(prior: Any, image: str, name: str) -> None:
    """Raises DistillError, beginning with the node's `name`, if the prior of a recipe does not accept `image`."""
    needed = prior.image
    if needed and image != needed:
        raise DistillError(f'{name}: this prior accepts the image "{needed}", not "{image}". Set "image" to '
                           f'"{needed}".')
    if not needed and image in (NORMAL_DEPTH, ALBEDO_DEPTH):
        node = "Normal-Depth Prior" if image == NORMAL_DEPTH else "Albedo Prior"
        raise DistillError(f'{name}: only the {node} accepts the image "{image}". Connect that prior, or set "image" '
                           'to "rgb" or to a normal.')
