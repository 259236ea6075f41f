"""The size of a pixel in texture space."""
from __future__ import annotations

import torch

from ..checks import check_shape


@torch.no_grad()
def uv_footprint(positions: torch.Tensor, faces: torch.Tensor, uv: torch.Tensor, faces_uv: torch.Tensor,
                 rast: torch.Tensor) -> torch.Tensor:
    """Width of each pixel in units of uv, along the axis of the picture on which it is wider, as OpenGL chooses mip
    levels.

    positions  [B,V,4] clip space, faces [F,3]
    uv         [U,2], faces_uv [F,3], the same faces in the same order
    rast       [B,H,W,4] from `rasterize`

    Returns [B,H,W], 0 where nothing is seen. Exact, also in perspective: the derivative of N / D where N and D, sums of
    edge functions, are linear over the picture. No gradient. Raises ShapeError naming the argument.
    """
    check_shape("positions", positions, "B", "V", 4)
    check_shape("uv", uv, "U", 2)
    check_shape("faces_uv", faces_uv, len(faces), 3)
    _, height, width, _ = rast.shape
    pixels = rast.reshape(-1, 4)
    covered = pixels[:, 3].nonzero().squeeze(1)
    face = pixels[covered, 3].round().long() - 1
    corner = faces[face] + (covered // (height * width) * positions.shape[1])[:, None]
    points = positions if positions.device.type == "mps" else positions.double()
    x, y, _, w = points.reshape(-1, 4)[corner].unbind(2)
    pixel_x = (2 * (covered % width) + 1).to(x.dtype) / width - 1
    pixel_y = 1 - (2 * (covered // width % height) + 1).to(x.dtype) / height
    x, y = x - pixel_x[:, None] * w, y - pixel_y[:, None] * w
    (xa, xb), (ya, yb), (wa, wb) = ((value.roll(-1, 1), value.roll(-2, 1)) for value in (x, y, w))
    texture = uv[faces_uv[face]].to(x.dtype)
    u, v = pixels[covered, :2].to(x.dtype).unbind(1)
    here = (torch.stack([u, v, 1 - u - v], 1)[..., None] * texture).sum(1, keepdim=True)
    total = (xa * yb - ya * xb).sum(1)
    total = torch.where(total == 0, torch.inf, total)
    widths = []
    for slope, step in ((ya * wb - wa * yb, 2 / width), (wa * xb - xa * wb, 2 / height)):
        widths.append((slope[..., None] * (texture - here)).sum(1).norm(dim=1) * step / total.abs())
    found = torch.maximum(*widths).to(rast.dtype)
    return rast.new_zeros(len(pixels)).index_copy(0, covered, found).view(rast.shape[:3])
