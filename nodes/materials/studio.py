"""The built-in environment map: a neutral room with three soft lamps."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.shade.environment import panorama_directions

# Direction, size (cosine power) and radiance of the lamps: one in front on the left, one on the right, one behind.
_LAMPS = (((0.7, -0.6, 0.7), 20, 6.0), ((0.4, 0.9, 0.2), 12, 2.0), ((-0.9, 0.1, 0.5), 16, 3.0))
_MEAN = 0.8


def studio(height: int = 64) -> Tensor:
    """Panorama [H,2H,3], grey, linear radiance. A white diffuse object in it is slightly darker than white on
    average."""
    directions, area = panorama_directions(height, 2 * height, torch.zeros(1))
    light = 0.3 + 0.25 * directions[..., 2]
    for towards, power, radiance in _LAMPS:
        cosine = directions @ F.normalize(torch.tensor(towards), dim=0)
        light = light + radiance * cosine.clamp(min=0) ** power
    light = light * (_MEAN * area.sum() / (light * area).sum())
    return light[..., None].expand(-1, -1, 3)
