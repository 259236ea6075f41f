"""Mip-mapped texture lookups, with levels chosen by the width of a pixel (Williams 1983)."""
from __future__ import annotations

import torch
import torch.nn.functional as F

from ..checks import check_shape


def mip_pyramid(texture: torch.Tensor, levels: int | None = None) -> list[torch.Tensor]:
    """texture [H,W,C] and its halvings, down to one texel along the shorter side or at most `levels` of them.

    Each level is the mean of 2 x 2 texels of the one before; an odd row or column at the end counts twice. Values in
    the gaps between charts enter coarse levels, so dilate the texture first. Differentiable.
    """
    check_shape("texture", texture, "H", "W", "C")
    pyramid = [texture]
    while min(pyramid[-1].shape[:2]) > 1 and (levels is None or len(pyramid) < levels):
        image = pyramid[-1].permute(2, 0, 1)[None]
        image = F.pad(image, (0, image.shape[3] % 2, 0, image.shape[2] % 2), mode="replicate")
        pyramid.append(F.avg_pool2d(image, 2)[0].permute(1, 2, 0))
    return pyramid


def sample_mip(pyramid: list[torch.Tensor], uv: torch.Tensor, footprint: torch.Tensor | None = None) -> torch.Tensor:
    """Trilinear lookup: bilinear in the two levels whose texels are nearest in size to the footprint, then between
    them.

    pyramid    from `mip_pyramid`
    uv         [N,2], (0, 0) at the corner of the first texel, v growing from row to row (see kernels.uv.bake)
    footprint  [N] width of a pixel in units of uv, e.g. of `uv_footprint`; None: the finest level

    Returns [N,C]. Beyond the outermost texel centres the border's value continues. Differentiable in the texture and in
    uv, not in the footprint. Each level is read only by the points that need it. Raises ShapeError naming the argument.
    """
    check_shape("uv", uv, "N", 2)
    if footprint is None or len(pyramid) == 1:
        return _bilinear(pyramid[0], uv)
    check_shape("footprint", footprint, len(uv))
    texels = footprint.detach() * max(pyramid[0].shape[:2])
    level = texels.clamp(min=1).log2().nan_to_num(0.0).clamp(max=len(pyramid) - 1)
    below = level.floor().long().clamp(max=len(pyramid) - 2)
    share = (level - below).to(uv.dtype)
    found = uv.new_zeros(len(uv), pyramid[0].shape[2])
    for index, image in enumerate(pyramid):
        weight = torch.where(below == index, 1 - share, torch.where(below + 1 == index, share, 0.0))
        used = weight.nonzero().squeeze(1)
        if len(used):
            found = found.index_add(0, used, weight[used, None] * _bilinear(image, uv[used]))
    return found


def _bilinear(texture: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    found = F.grid_sample(texture.permute(2, 0, 1)[None], (2 * uv - 1).view(1, 1, -1, 2), mode="bilinear",
                          padding_mode="border", align_corners=False)
    return found[0, :, 0].T
