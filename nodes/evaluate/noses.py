"""Number of noses of a result. A front on several sides is the Janus problem of text-to-3D."""
from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..core.cameras import orbit
from ..shapes.caption import COLORS, Shape
from .views import DISTANCE, FOVY, RenderFn, take_pictures

SIZE = 96          # pixels of the view from above
SMALLEST = 0.01    # of the silhouette, for a nose
BODY = 0.2         # of the silhouette, for a body
STICKS_OUT = 1.4   # times the body's radius, how far a nose must reach


def has_nose(shape: Shape) -> bool:
    return " with " in shape.caption


def count_noses(render: RenderFn, shape: Shape) -> int:
    """Parts in the colour of the nose that stick out of the body, counted in one picture from straight above, in which
    no nose at middle height hides another. 0 if almost nothing has the body's colour.

    render  see still_render. shape: a body and its nose
    """
    camera = orbit(0.0, 0.5 * math.pi, DISTANCE, math.radians(FOVY), SIZE, SIZE)
    pictures = take_pictures(render, camera)
    body_color, nose_color = (torch.tensor(COLORS[part.color]) for part in shape.parts)
    color, seen = pictures.color[0], pictures.opacity[0, ..., 0] > 0.5
    is_nose = seen & ((color - nose_color).norm(dim=-1) < (color - body_color).norm(dim=-1))
    is_body = seen & ~is_nose
    if is_body.sum() < BODY * seen.sum():
        return 0
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    place = torch.stack([rows, columns], -1).float()
    reach = (place - place[is_body].mean(0)).norm(dim=-1) / (is_body.sum() / math.pi).sqrt()
    labels = connected(is_nose)
    return sum(int(part.sum() >= SMALLEST * seen.sum() and reach[part].max() >= STICKS_OUT)
               for part in (labels == label for label in labels.unique() if label >= 0))


def connected(mask: Tensor) -> Tensor:
    """Labels [H,W] int64 of the parts of mask [H,W] whose pixels touch, corners included; -1 outside."""
    labels = torch.where(mask, torch.arange(mask.numel()).view(mask.shape) + 1, 0).double()
    while True:
        spread = torch.where(mask, F.max_pool2d(labels[None, None], 3, 1, 1)[0, 0], 0.0)
        if torch.equal(spread, labels):
            return labels.long() - 1
        labels = spread
