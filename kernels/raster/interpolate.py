"""Vertex attributes at the pixels of a rasterised picture."""
from __future__ import annotations

import torch

from ..checks import ShapeError, check_shape


def interpolate(attributes: torch.Tensor, rast: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Perspective-correct attributes at the visible point of each pixel (nvdiffrast's `interpolate`).

    attributes  [V,C] shared by the views, or [B,V,C]
    rast        [B,H,W,4] from `rasterize`
    faces       [F,3] int64 into attributes, in the order of the rasterised faces: attributes may be indexed differently
                from positions

    Returns [B,H,W,C], 0 where nothing is visible. Differentiable in attributes and, through u and v, in the
    rasterised positions. Memory O(covered pixels x C).
    Raises ShapeError naming the argument.
    """
    check_shape("rast", rast, "B", "H", "W", 4)
    check_shape("faces", faces, "F", 3)
    if attributes.ndim not in (2, 3):
        raise ShapeError(f"attributes must have shape [V,C] or [B,V,C], got {list(attributes.shape)}")
    views, height, width, _ = rast.shape
    pixels = rast.reshape(-1, 4)
    ids = pixels.detach()[:, 3].round().long()
    covered = ids.nonzero().squeeze(1)
    corner = faces[ids[covered] - 1]
    if attributes.ndim == 3:
        check_shape("attributes", attributes, views, "V", "C")
        corner = corner + (covered // (height * width) * attributes.shape[1])[:, None]
    channels = attributes.shape[-1]
    values = attributes.reshape(-1, channels).index_select(0, corner.flatten()).view(-1, 3, channels)
    u, v = pixels.index_select(0, covered)[:, :2].to(values.dtype).unbind(1)
    weight = torch.stack([u, v, 1 - u - v], 1)
    found = (weight[..., None] * values).sum(1)
    return values.new_zeros(len(pixels), channels).index_copy(0, covered, found).view(views, height, width, channels)
