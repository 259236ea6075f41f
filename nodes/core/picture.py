"""Images that priors are shown of a rendering, by the names that loss nodes offer."""
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
    """What an image that priors are shown consists of.

    fields    of Rendering that it is made from, beside the opacity
    channels  C; None: as many as the scene's material has
    bounded   whether values lie in [0,1]
    behind    what lies behind the object
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

# Half of what the depth channel spans, world units: the half diagonal of the cube [-1,1]^3 (RichDreamer).
REACH = math.sqrt(3)


def picture(rendering: Rendering, cameras: Cameras, image: str) -> Tensor:
    """[B,H,W,C], in [0,1] unless IMAGES says otherwise. Differentiable in the rendering.

    image  "rgb"; "normal": world normals over grey, weight-summed (C = 3)
           "unit normal over black": see kernels.image.geometry.unit_normals; threestudio's
           "camera normal": see kernels.image.geometry.view_normals
           "normal and depth": camera normals, and nearness (kernels.image.geometry) as a fourth channel, for objects
           within the unit ball or a little more
           "albedo and depth": unlit colours over white, as the model for them was trained, and nearness
           "latent": what a scene with a Latent material emits, for priors of that many latent channels
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
    """Raises DistillError, beginning with the node's `name`, where a prior's recipe cannot be shown `image`."""
    needed = prior.image
    if needed and image != needed:
        raise DistillError(f'{name}: this prior knows pictures of "{needed}", not of "{image}". Set "image" to '
                           f'"{needed}".')
    if not needed and image in (NORMAL_DEPTH, ALBEDO_DEPTH):
        node = "Normal-Depth Prior" if image == NORMAL_DEPTH else "Albedo Prior"
        raise DistillError(f'{name}: only the {node} is shown "{image}". Wire that one, or set "image" to "rgb" or a '
                           'normal.')
