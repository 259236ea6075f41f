"""Total variation of pictures."""
from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_shape


def squared_variation(image: Tensor) -> Tensor:
    """Mean squared difference of vertical neighbours plus that of horizontal ones (total variation, squared).

    image  [B,H,W,C]

    Returns a scalar, 0 where there is only one pixel. Differentiable. Raises ShapeError.
    """
    check_shape("image", image, "B", "H", "W", "C")
    down, right = (torch.diff(image, dim=axis).square() for axis in (1, 2))
    return down.sum() / max(down.numel(), 1) + right.sum() / max(right.numel(), 1)
