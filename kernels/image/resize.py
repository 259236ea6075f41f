"""Changing the size of pictures."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from ..checks import check_shape

MODES = ("bilinear", "bicubic", "area", "nearest")


def resize(image: torch.Tensor, height: int, width: int, mode: str = "bilinear") -> torch.Tensor:
    """Resamples pictures; pixel centres lie at half integers, so the borders of the picture stay where they are.

    image  [B,H,W,C]
    mode   "bilinear" or "bicubic" (both low-pass filtered when shrinking; bicubic may overshoot the range),
           "area" (mean of the covered pixels) or "nearest" (for masks and ids: the pixel under the new centre)

    Returns [B,height,width,C]. Differentiable in image. Raises ShapeError, ValueError for another mode.
    """
    check_shape("image", image, "B", "H", "W", "C")
    if mode not in MODES:
        raise ValueError(f"resize: mode is {mode!r}, it must be one of {', '.join(MODES)}.")
    if image.shape[1:3] == (height, width):
        return image
    options = {"antialias": True, "align_corners": False} if mode.startswith("bi") else {}
    mode = "nearest-exact" if mode == "nearest" else mode
    return F.interpolate(image.movedim(-1, 1), (height, width), mode=mode, **options).movedim(1, -1)


def resize_square(z: torch.Tensor, side: int, antialias: bool, mode: str = "bilinear") -> torch.Tensor:
    """Resamples [B,C,H,W], the layout of networks, to [B,C,side,side]. Differentiable.

    antialias  low-pass filter when shrinking; without it most pixels of a strongly reduced picture get no gradient
    mode       "bilinear" or "bicubic"
    """
    check_shape("z", z, "B", "C", "H", "W")
    if z.shape[-2:] == (side, side):
        return z
    return F.interpolate(z, (side, side), mode=mode, align_corners=False, antialias=antialias)
