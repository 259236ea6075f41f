"""Pictures that priors are shown of a rendering, by the names that loss nodes offer."""
from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ...kernels.image.geometry import nearness, view_normals
from .cameras import Cameras
from .errors import DistillError
from .rendering import Rendering

NORMAL_DEPTH, ALBEDO_DEPTH = "normal and depth", "albedo and depth"

# Fields of Rendering that each is made of, beside the opacity.
PICTURES = {"rgb": {"rgb"}, "normal": {"normal"}, "camera normal": {"normal"}, NORMAL_DEPTH: {"normal", "depth"},
            ALBEDO_DEPTH: {"albedo", "depth"}}

# Half of what the depth channel spans, world units: the half diagonal of the cube [-1,1]^3 (RichDreamer).
REACH = math.sqrt(3)


def picture(rendering: Rendering, cameras: Cameras, image: str) -> Tensor:
    """[B,H,W,C] in [0,1], differentiable in the rendering.

    image  "rgb"; "normal": world normals over grey, weight-summed (C = 3)
           "camera normal": see kernels.image.geometry.view_normals
           "normal and depth": camera normals, and nearness (kernels.image.geometry) as a fourth channel, for objects
           within the unit ball or a little more
           "albedo and depth": unlit colours over white, as the model for them was trained, and nearness
    """
    if image == "rgb":
        return rendering.rgb
    if image == "normal":
        return rendering.normal * 0.5 + 0.5
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
        raise DistillError(f'{name}: this prior knows pictures of "{needed}", not of "{image}". Set "image" to "{needed}".')
    if not needed and image in (NORMAL_DEPTH, ALBEDO_DEPTH):
        node = "Normal-Depth Prior" if image == NORMAL_DEPTH else "Albedo Prior"
        raise DistillError(f'{name}: only the {node} is shown "{image}". Wire that one, or set "image" to "rgb" or a normal.')
