"""The silhouette of an object before a plain background."""
from __future__ import annotations

import torch
from torch import Tensor

PLAIN = 0.03    # difference of a channel up to which border pixels count as one colour
SHARE = 0.97    # of the border pixels that must have it
SPREAD = 0.08   # difference of a channel up to which a pixel inside counts as background; JPEG files vary by as much
LEAST = 0.002   # share of the picture that an object has at least


def plain_background(image: Tensor) -> tuple[Tensor, Tensor] | None:
    """The opacity [1,H,W,1] of the object, 0 or 1, and the colour [3] of the background; None where the border of the
    picture has several colours, or nothing stands before the background.

    image  [1,H,W,3] in [0,1]

    Background is what has the border's colour and is connected with the border, so that parts of the object with that
    colour stay. A shadow on the background counts as object.
    """
    picture = image[0, ..., :3].detach().cpu().float()
    border = torch.cat([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    color = border.median(0).values
    if ((border - color).abs().amax(-1) < PLAIN).float().mean() < SHARE:
        return None
    free = (picture - color).abs().amax(-1) < SPREAD
    opacity = ~_from_border(free)
    if opacity.float().mean() < LEAST:
        return None
    return opacity[None, ..., None].to(image), color


def _from_border(free: Tensor) -> Tensor:
    """The pixels of `free` [H,W] bool that a path of free pixels, side by side, joins to the border."""
    reached = torch.zeros_like(free)
    for edge in (0, -1):
        reached[edge], reached[:, edge] = free[edge], free[:, edge]
    while True:
        before = int(reached.sum())
        for axis in (0, 1):
            for turned in (False, True):
                reached = reached | _swept(reached, free, axis, turned)
        if int(reached.sum()) == before:
            return reached


def _swept(reached: Tensor, free: Tensor, axis: int, turned: bool) -> Tensor:
    """The free pixels behind a reached one, in the direction of an axis, without a pixel between that is not free."""
    if turned:
        return _swept(reached.flip(axis), free.flip(axis), axis, False).flip(axis)
    index = torch.arange(free.shape[axis]).view(-1, 1) if axis == 0 else torch.arange(free.shape[axis])
    last_reached = torch.where(reached, index, -1).cummax(axis).values
    last_blocked = torch.where(free, -1, index).cummax(axis).values
    return free & (last_reached > last_blocked)
