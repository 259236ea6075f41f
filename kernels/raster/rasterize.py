"""Rasterisation with gradients: triangle ids from a kernel, barycentrics and depth recomputed from them in torch."""
from __future__ import annotations

import torch

from ..checks import check_shape
from .triangle_ids import triangle_ids


def rasterize(positions: torch.Tensor, faces: torch.Tensor, resolution: tuple[int, int]) -> torch.Tensor:
    """Triangle, barycentrics and depth of every pixel (nvdiffrast's `rasterize`, Laine et al. 2020).

    positions   [B,V,4] clip space, OpenGL: x right, y up, visible where -w <= z <= w and w > 0
    faces       [F,3] int64, shared by the B views, seen from both sides
    resolution  (height, width)

    Returns rast [B,H,W,4], all 0 where nothing is seen:
        0  u      perspective-correct weight of the face's corner 0
        1  v      weight of corner 1; corner 2 has 1 - u - v
        2  z/w    depth in [-1,1]
        3  id     index of the face + 1
    Row 0 is the TOP of the picture (nvdiffrast's is the bottom). Differentiable in positions through u, v and
    z/w, any number of times; which face is seen has no gradient (antialiasing supplies that).
    Raises ShapeError naming the argument, ValueError when the ids do not fit the dtype of positions.
    """
    height, width = resolution
    if len(faces) >= 2 / torch.finfo(positions.dtype).eps:
        raise ValueError(f"rasterize: {len(faces)} faces cannot be numbered in {positions.dtype}. "
                         "Pass positions in float32 or float64, or fewer faces.")
    ids = triangle_ids(positions, faces, height, width)
    u, v, depth = barycentrics(positions, faces, ids)
    covered = ids.flatten().nonzero().squeeze(1)
    found = torch.stack([u, v, depth, ids.flatten()[covered].to(u.dtype)], 1)
    rast = positions.new_zeros(ids.numel(), 4)
    return rast.index_copy(0, covered, found.to(positions.dtype)).view(*ids.shape, 4)


def barycentrics(positions: torch.Tensor, faces: torch.Tensor,
                 ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """u, v and z/w, each [N], at the N pixels of ids [B,H,W] that are not 0, in row-major order.

    positions [B,V,4], faces [F,3]. Differentiable in positions. Computed and returned in float64 (float32 on
    MPS): a face much smaller than a pixel has edge functions far below the rounding of its coordinates.
    """
    check_shape("positions", positions, "B", "V", 4)
    check_shape("faces", faces, "F", 3)
    _, height, width = ids.shape
    covered = ids.flatten().nonzero().squeeze(1)
    view = covered // (height * width)
    corner = faces[ids.flatten()[covered] - 1] + view[:, None] * positions.shape[1]
    points = positions if positions.device.type == "mps" else positions.double()
    x, y, z, w = points.reshape(-1, 4).index_select(0, corner.flatten()).view(-1, 3, 4).unbind(2)
    pixel_x = (2 * (covered % width) + 1).to(x.dtype) / width - 1
    pixel_y = 1 - (2 * (covered // width % height) + 1).to(x.dtype) / height
    # Seen from the pixel centre an edge function is one 2x2 determinant, free of cancellation with the centre.
    x = x - pixel_x[:, None] * w
    y = y - pixel_y[:, None] * w
    edge = x.roll(-1, 1) * y.roll(-2, 1) - y.roll(-1, 1) * x.roll(-2, 1)
    total = edge.sum(1, keepdim=True)
    # A face that is edge-on up to rounding can own a pixel and have no area here: use its middle, without a gradient.
    weight = torch.where(total == 0, 1 / 3, edge / torch.where(total == 0, 1.0, total))
    return weight[:, 0], weight[:, 1], (weight * z).sum(1) / (weight * w).sum(1)
