"""Reference View: one picture of the object with its camera, as the target of the Reference losses."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.resize import resize
from ..comfy import PICTURES, VIEWS, Node, host, io
from ..core.cameras import LENSES, Cameras
from ..core.errors import DistillError
from ..core.pictures import Pictures, orbit_camera
from .given_views import GivenViews
from .plain_background import plain_background

TITLE = "Reference View"
MARKS = ("background", "object")
BRIGHT = ("near", "far")
FLIPS = ("none", "x", "y", "z", "x y", "x z", "y z", "x y z")
_COARSE = 8  # pixels; a shorter object tells neither shape nor colours
_COLORED = 0.05  # mean difference between the channels of a picture that is not grey


def make_reference(camera: Cameras, image: Tensor, mask: Tensor | None = None, depth: Tensor | None = None,
                   normal: Tensor | None = None, mask_marks: str = MARKS[0], fill: float = 0.8,
                   depth_bright: str = BRIGHT[0], normal_flips: str = FLIPS[0]) -> Pictures:
    """One posed picture from images of any size and any convention of axes.

    camera        of the picture; its height and width are ignored
    image         [1,H,W,3] in [0,1], or [1,H,W,4] with opacity as the fourth channel, which a mask overrides
    mask          [1,H,W] or [H,W], any size. Where it masks nothing, a plain background is found by its colour
    depth         [1,H,W,3 or 1] grey, any size
    normal        [1,H,W,3] any size, camera axes mapped to [0,1]
    mask_marks    where the mask is 1: "background" or "object"
    fill          the masked object's bounding box is centred, and its longer side becomes this share of the picture. 0,
                  or without a mask: nothing is moved. No pixel is resampled: the picture is cropped or padded to a
                  square, and the padding is outside the mask
    depth_bright  whether large depth values are "near" or "far"
    normal_flips  the axes that point opposite to x right, y up, z to the viewer

    Raises DistillError.
    """
    if image.ndim != 4 or len(image) != 1 or image.shape[-1] not in (3, 4) or not image.numel():
        raise DistillError(f'{TITLE}: "image" has the shape {list(image.shape)}. Connect one picture [1,H,W,3]; for '
                           'several pictures use several Reference Views and Join Pictures.')
    if not 0 <= fill <= 1:
        raise DistillError(f'{TITLE}: "fill" is {fill}. Choose a share of the picture, 0 .. 1.')
    height, width = image.shape[1:3]
    opacity = _opacity(image, mask, mask_marks)
    if not bool((opacity < 0.5).any()):
        found = plain_background(image)
        if found is not None:
            opacity, color = found
            host().warn(f"{TITLE}: the picture has no mask and a plain background, "
                        f"#{''.join(f'{round(255 * float(part)):02x}' for part in color)}. What has this colour and "
                        f"reaches the border is the background; the object covers {float(opacity.mean()):.0%} of the "
                        "picture. Connect a mask, or a background remover, if that is wrong.")
    is_masked = bool((opacity < 0.5).any())
    if not bool((opacity > 0.5).any()):
        raise DistillError(f'{TITLE}: the mask covers no part of the object. Set "mask_marks" to the other choice: the '
                           'mask of Load Image is 1 on the background, that of most other nodes on the object.')
    if is_masked and _covers_borders(opacity):
        raise DistillError(f"{TITLE}: the object would touch all four borders of the picture along their whole length: "
                           'the mask is inverted. Set "mask_marks" to the other choice, or put Invert Mask before it.')
    window = _window(opacity, fill if is_masked else 0.0)
    pictures = {"rgb": image[..., :3].clamp(0, 1), "mask": opacity,
                "depth": None if depth is None else _depth(depth, depth_bright, height, width),
                "normal": None if normal is None else _normal(normal, normal_flips, height, width)}
    cut = {name: None if picture is None else _cut(picture, window) for name, picture in pictures.items()}
    side = window[2]
    return Pictures(camera.resized(side, side), is_masked=is_masked, **cut)


def _opacity(image: Tensor, mask: Tensor | None, marks: str) -> Tensor:
    """[1,H,W,1], 1 on the object."""
    if mask is None:
        return image[..., 3:].clamp(0, 1) if image.shape[-1] == 4 else torch.ones_like(image[..., :1])
    mask = mask if mask.ndim == 3 else mask[None]
    if mask.ndim != 3 or len(mask) != 1 or not mask.numel():
        raise DistillError(f'{TITLE}: "mask" has the shape {list(mask.shape)}. Connect one mask [1,H,W].')
    mask = resize(mask[..., None].to(image), *image.shape[1:3]).clamp(0, 1)
    return 1 - mask if marks == "background" else mask


def _covers_borders(opacity: Tensor) -> bool:
    """Whether the object [1,H,W,1] covers nearly all of each border and leaves a part of the picture free."""
    sides = opacity[:, 0], opacity[:, -1], opacity[:, :, 0], opacity[:, :, -1]
    return all(float(side.mean()) > 0.95 for side in sides) and float(opacity.mean()) < 0.98


def _depth(depth: Tensor, bright: str, height: int, width: int) -> Tensor:
    """[1,height,width,1], growing away from the camera."""
    _check_picture("depth", depth)
    grey = depth[..., :3].mean(-1, keepdim=True)
    if (depth[..., :3] - grey).abs().mean() > _COLORED:
        raise DistillError(f'{TITLE}: "depth" is a coloured picture. Connect a grey one, whose brightness is the '
                           'depth.')
    return resize(1 - grey if bright == "near" else grey, height, width)


def _normal(normal: Tensor, flips: str, height: int, width: int) -> Tensor:
    """[1,height,width,3] in [-1,1]: x right, y up, z to the viewer."""
    _check_picture("normal", normal)
    if normal.shape[-1] < 3:
        raise DistillError(f'{TITLE}: "normal" has {normal.shape[-1]} channel. Connect a normal map [1,H,W,3].')
    signs = torch.tensor([-1.0 if axis in flips.split() else 1.0 for axis in "xyz"]).to(normal)
    return resize((2 * normal[..., :3] - 1) * signs, height, width)


def _check_picture(name: str, picture: Tensor) -> None:
    if picture.ndim != 4 or len(picture) != 1 or not picture.numel():
        raise DistillError(f'{TITLE}: "{name}" has the shape {list(picture.shape)}. Connect one picture [1,H,W,3].')


def _window(opacity: Tensor, fill: float) -> tuple[int, int, int]:
    """Top, left and side, in pixels, of the square crop. It may extend beyond the picture."""
    _, height, width, _ = opacity.shape
    top, bottom, left, right = 0, height, 0, width
    if fill:
        rows, columns = ((opacity[0, ..., 0] > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = math.ceil(max(bottom - top, right - left) / (fill or 1.0) - 1e-9)
    return (top + bottom - side) // 2, (left + right - side) // 2, side


def _cut(picture: Tensor, window: tuple[int, int, int]) -> Tensor:
    """The crop [1,side,side,C], float32 on the CPU, padded with zeros."""
    top, left, side = window
    margins = (-left, left + side - picture.shape[2], -top, top + side - picture.shape[1])
    return F.pad(picture.detach().cpu().float().movedim(-1, 1), margins).movedim(1, -1).contiguous()


def _warn(reference: Pictures) -> None:
    if not reference.is_masked:
        host().warn(f"{TITLE}: neither mask nor transparency tells the object from the background, which has several "
                    "colours, so every pixel counts as the object. Load Image gives an empty mask for a picture "
                    "without transparency: put a background remover (a node that makes a mask) between, or take a "
                    "picture before a plain background.")
    rows, columns = ((reference.mask[0, ..., 0] > 0.5).any(axis) for axis in (1, 0))
    tall, wide = int(rows.sum()), int(columns.sum())
    if reference.is_masked and max(tall, wide) < _COARSE:
        host().warn(f"{TITLE}: the object is only {wide} x {tall} pixels of the picture. Check the mask, or take a "
                    "larger picture of the object.")
    if reference.normal is not None and float((reference.normal[..., 2:] * reference.mask).sum()) < 0:
        host().warn(f"{TITLE}: most normals of the map point away from the viewer, which is impossible for visible "
                    'surfaces. Its z axis has the opposite sign: choose a "normal_flips" with z.')


class ReferenceViewNode(Node):
    advanced = ("azimuth", "fill", "depth_bright", "normal_flips", "lens", "scale")

    @classmethod
    def define_schema(cls):
        def number(id, default, tooltip, low, high, step):
            return io.Float.Input(id, default=default, min=low, max=high, step=step, tooltip=tooltip)

        return io.Schema(
            node_id="Distill3D_ReferenceView", display_name=TITLE, category="Distill3D/cameras",
            description="One picture of the object with its camera, as the target of the Reference losses.",
            search_aliases=["image to 3d", "reference image", "input view", "single image"],
            inputs=[
                io.Image.Input("image", tooltip="One picture of the object."),
                number("elevation", 5.0, "Elevation of the picture's camera, degrees.", -90.0, 90.0, 1.0),
                number("azimuth", 0.0, "Azimuth of the picture's camera, degrees; 0 is the front of the object.",
                       -360.0, 360.0, 1.0),
                number("distance", 3.8, "Distance of the camera from the origin, world units.", 0.01, 100.0, 0.05),
                number("fovy", 20.0, "Vertical field of view of the square picture, degrees.", 1.0, 170.0, 0.5),
                io.Combo.Input("mask_marks", options=list(MARKS), default=MARKS[0], tooltip="Where the mask is 1. "
                               "The mask of Load Image is 1 on transparent pixels: background. Masks of segmentation "
                               "nodes are 1 on the object."),
                number("fill", 0.8, "Centre the masked object and crop or pad the picture so that the object's longer "
                       "side is this share of it. 0: do not move it.", 0.0, 1.0, 0.05),
                io.Combo.Input("depth_bright", options=list(BRIGHT), default=BRIGHT[0], tooltip="Meaning of bright "
                               "pixels in the depth picture: near (MiDaS, Depth Anything) or far (Omnidata, "
                               "Marigold)."),
                io.Combo.Input("normal_flips", options=list(FLIPS), default=FLIPS[0], tooltip="Axes of the normal map "
                               "to flip. none: red faces right, green up, blue to the viewer (OpenGL). y: green faces "
                               "down (DirectX). y z: the axes of OpenCV, used by Omnidata."),
                io.Mask.Input("mask", optional=True, tooltip="Mask of the object. Without it, the transparency "
                              "of the picture is used, or the whole picture."),
                io.Image.Input("depth", optional=True, tooltip="Depth map of the picture, grey, from any "
                               "estimator."),
                io.Image.Input("normal", optional=True, tooltip="Normal map of the picture in camera axes, from any "
                               "estimator."),
                io.Combo.Input("lens", options=list(LENSES), default=LENSES[0], optional=True, tooltip="Perspective, "
                               "or orthographic: parallel rays, as in pictures of Wonder3D."),
                io.Float.Input("scale", default=1.0, min=0.01, max=100.0, step=0.05, optional=True,
                               tooltip="Orthographic lens: half the height that the square picture covers, world "
                                       "units."),
            ],
            outputs=[VIEWS.Output("views", tooltip="The camera of the picture, for the Objective with the Reference "
                                           "losses."),
                     PICTURES.Output("reference", tooltip="The posed picture, for the Reference losses or Join "
                                                          "Pictures."),
                     io.Image.Output("image", tooltip="The square picture over white, for priors that are conditioned "
                                                      "on an image."),
                     io.Mask.Output("mask", tooltip="The square picture's mask, 1 on the object.")])

    @classmethod
    def execute(cls, image, elevation=5.0, azimuth=0.0, distance=3.8, fovy=20.0, mask_marks=MARKS[0], fill=0.8,
                depth_bright=BRIGHT[0], normal_flips=FLIPS[0], mask=None, depth=None, normal=None, lens=LENSES[0],
                scale=1.0) -> io.NodeOutput:
        camera = orbit_camera(TITLE, elevation, azimuth, distance, fovy, 1, scale if lens == LENSES[1] else None)
        reference = make_reference(camera, image, mask, depth, normal, mask_marks, fill, depth_bright, normal_flips)
        _warn(reference)
        return io.NodeOutput(GivenViews(reference), reference, reference.over(1.0), reference.mask[..., 0])
