"""Reference View: one picture of the object and the camera that it was taken with, for comparisons with renderings."""
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

TITLE = "Reference View"
MARKS = ("background", "object")
BRIGHT = ("near", "far")
FLIPS = ("none", "x", "y", "z", "x y", "x z", "y z", "x y z")
_COLORED = 0.05  # mean difference between the channels of a picture that is not grey


def make_reference(camera: Cameras, image: Tensor, mask: Tensor | None = None, depth: Tensor | None = None,
                   normal: Tensor | None = None, mask_marks: str = MARKS[0], fill: float = 0.8,
                   depth_bright: str = BRIGHT[0], normal_flips: str = FLIPS[0]) -> Pictures:
    """One posed picture, of images in any size and orientation of axes.

    camera        where the picture was taken from; its size is not read
    image         [1,H,W,3] in [0,1], or [1,H,W,4] whose fourth channel is opacity, unless there is a mask
    mask          [1,H,W] or [H,W], any size
    depth         [1,H,W,3 or 1] grey, any size; depth_bright: what its large numbers mean
    normal        [1,H,W,3] any size, camera axes mapped to [0,1]; normal_flips: the axes that point the other way than
                  x right, y up, z to the viewer
    mask_marks    what the mask is 1 on
    fill          share of the picture that the longer side of the mask's bounding box gets, the box being moved to the
                  middle; 0, or without a mask: nothing is moved. No pixel is resampled: the picture is cut or gets
                  margins until it is square, and margins are outside the mask

    Raises DistillError.
    """
    if image.ndim != 4 or len(image) != 1 or image.shape[-1] not in (3, 4) or not image.numel():
        raise DistillError(f'{TITLE}: "image" has the shape {list(image.shape)}. Connect one picture [1,H,W,3]; for '
                           'several pictures use several Reference Views and Join Pictures.')
    if not 0 <= fill <= 1:
        raise DistillError(f'{TITLE}: "fill" is {fill}. Choose a share of the picture, 0 .. 1.')
    height, width = image.shape[1:3]
    opacity = _opacity(image, mask, mask_marks)
    is_masked = bool((opacity < 0.5).any())
    if not bool((opacity > 0.5).any()):
        raise DistillError(f'{TITLE}: the mask leaves nothing of the object. Set "mask_marks" to the other choice: the '
                           'mask of Load Image is 1 on the background, that of most other nodes on the object.')
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


def _depth(depth: Tensor, bright: str, height: int, width: int) -> Tensor:
    """[1,height,width,1], growing away from the camera."""
    _check_picture("depth", depth)
    grey = depth[..., :3].mean(-1, keepdim=True)
    if (depth[..., :3] - grey).abs().mean() > _COLORED:
        raise DistillError(f'{TITLE}: "depth" is a coloured picture. Connect the grey one: brightness has to be the '
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
    """Top, left and side, in pixels, of the square that becomes the picture; it may reach beyond the old one."""
    _, height, width, _ = opacity.shape
    top, bottom, left, right = 0, height, 0, width
    if fill:
        rows, columns = ((opacity[0, ..., 0] > 0.5).any(axis).nonzero()[:, 0] for axis in (1, 0))
        top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    side = math.ceil(max(bottom - top, right - left) / (fill or 1.0) - 1e-9)
    return (top + bottom - side) // 2, (left + right - side) // 2, side


def _cut(picture: Tensor, window: tuple[int, int, int]) -> Tensor:
    """[1,side,side,C] float32 on the CPU; zeros where there was no picture."""
    top, left, side = window
    margins = (-left, left + side - picture.shape[2], -top, top + side - picture.shape[1])
    return F.pad(picture.detach().cpu().float().movedim(-1, 1), margins).movedim(1, -1).contiguous()


def _warn(reference: Pictures) -> None:
    if not reference.is_masked:
        host().warn(f"{TITLE}: there is no mask, or it leaves nothing out, so the whole picture counts as the object. "
                    "Connect a mask, or a picture with transparency.")
    if reference.normal is not None and float((reference.normal[..., 2:] * reference.mask).sum()) < 0:
        host().warn(f"{TITLE}: most normals of the map point away from the viewer, which nothing visible does. Its z "
                    'axis is another: choose "normal_flips" with z.')


class ReferenceViewNode(Node):
    @classmethod
    def define_schema(cls):
        def number(id, default, tooltip, low, high, step):
            return io.Float.Input(id, default=default, min=low, max=high, step=step, tooltip=tooltip)

        return io.Schema(
            node_id="Distill3D_ReferenceView", display_name=TITLE, category="Distill3D/cameras",
            description="One picture of the object and the camera that it was taken with, for comparisons with "
                        "renderings.",
            search_aliases=["image to 3d", "reference image", "input view", "single image"],
            inputs=[
                io.Image.Input("image", tooltip="One picture of the object."),
                number("elevation", 5.0, "Degrees above the horizon that the picture was taken "
                                         "from.", -90.0, 90.0, 1.0),
                number("azimuth", 0.0, "Degrees around the object that it was taken from; 0 makes it the front.",
                       -360.0, 360.0, 1.0),
                number("distance", 3.8, "Of the camera from the origin, world units.", 0.01, 100.0, 0.05),
                number("fovy", 20.0, "Vertical field of view of the square picture, degrees.", 1.0, 170.0, 0.5),
                io.Combo.Input("mask_marks", options=list(MARKS), default=MARKS[0], tooltip="What the mask is 1 on. "
                               "Load Image's is 1 where the picture is transparent: background. Segmentation nodes "
                               "mark the object."),
                number("fill", 0.8, "The masked object is moved to the middle and its longer side gets this share of "
                       "the picture, by cutting and margins alone; 0 leaves it where it is.", 0.0, 1.0, 0.05),
                io.Combo.Input("depth_bright", options=list(BRIGHT), default=BRIGHT[0], tooltip="What is bright in the "
                               "depth picture: near (MiDaS, Depth Anything) or far (Omnidata, Marigold)."),
                io.Combo.Input("normal_flips", options=list(FLIPS), default=FLIPS[0], tooltip="Axes of the normal map "
                               "to turn around. None, where what faces right is reddish, up greenish, the viewer "
                               "bluish (OpenGL). y: green points down (DirectX). y z: OpenCV's axes, as Omnidata has."),
                io.Mask.Input("mask", optional=True, tooltip="The object's outline. Without it a picture's own "
                              "transparency counts, or all of the picture."),
                io.Image.Input("depth", optional=True, tooltip="The picture's depth, grey, from any estimator."),
                io.Image.Input("normal", optional=True, tooltip="The picture's normals in camera axes, from any "
                               "estimator."),
                io.Combo.Input("lens", options=list(LENSES), default=LENSES[0], optional=True, tooltip="perspective, "
                               "or orthographic: parallel rays, as Wonder3D's pictures have them."),
                io.Float.Input("scale", default=1.0, min=0.01, max=100.0, step=0.05, optional=True,
                               tooltip="Orthographic: half "
                               "the height of what the square picture shows, world units."),
            ],
            outputs=[VIEWS.Output("views", tooltip="This camera, for the Objective that compares with the picture."),
                     PICTURES.Output("reference", tooltip="The posed picture, for the Reference losses or Join "
                                                          "Pictures."),
                     io.Image.Output("image", tooltip="The square picture over white, for a prior that is conditioned "
                                                      "on it."),
                     io.Mask.Output("mask", tooltip="The square picture's mask, 1 on the object.")])

    @classmethod
    def execute(cls, image, elevation=5.0, azimuth=0.0, distance=3.8, fovy=20.0, mask_marks=MARKS[0], fill=0.8,
                depth_bright=BRIGHT[0], normal_flips=FLIPS[0], mask=None, depth=None, normal=None, lens=LENSES[0],
                scale=1.0) -> io.NodeOutput:
        camera = orbit_camera(TITLE, elevation, azimuth, distance, fovy, 1, scale if lens == LENSES[1] else None)
        reference = make_reference(camera, image, mask, depth, normal, mask_marks, fill, depth_bright, normal_flips)
        _warn(reference)
        return io.NodeOutput(GivenViews(reference), reference, reference.over(1.0), reference.mask[..., 0])
