"""Textures: where each texel lies on the surface, padding around charts, looking colours up.

Convention of all textures here, glTF's: uv = (0, 0) is the corner of the first texel in memory, u grows along a
row and v from row to row, so texel (row, column) has its centre at u = (column + 1/2) / W, v = (row + 1/2) / H.
OBJ files count v the other way: v_obj = 1 - v.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F

from ..checks import ShapeError, check_shape
from ..raster.interpolate import interpolate
from ..raster.rasterize import rasterize


def texel_positions(uv: torch.Tensor, faces_uv: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor,
                    size: int | tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Surface point behind the centre of every texel, by rasterising the charts in uv space.

    uv        [V',2] in [0,1]
    faces_uv  [F,3] int64 into uv
    vertices  [V,3]
    faces     [F,3] int64 into vertices, the same faces in the same order
    size      of the texture: (height, width), or one number for both

    Returns position [H,W,3] (0 outside the charts), mask [H,W] bool and face [H,W] int64 (-1 outside).
    Where charts overlap the lower face wins. Differentiable in vertices and uv.
    Raises ShapeError naming the argument.
    """
    check_shape("uv", uv, "V'", 2)
    check_shape("faces_uv", faces_uv, "F", 3)
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, len(faces_uv), 3)
    resolution = (size, size) if isinstance(size, int) else tuple(size)
    x, y = 2 * uv[:, 0] - 1, 1 - 2 * uv[:, 1]
    flat = torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], 1)
    rast = rasterize(flat[None], faces_uv, resolution)
    face = rast[0, ..., 3].detach().round().long() - 1
    return interpolate(vertices, rast, faces)[0], face >= 0, face


def covered_texels(uv: torch.Tensor, faces_uv: torch.Tensor, attributes: torch.Tensor, faces: torch.Tensor, size: int,
                   chunk: int = 1 << 21) -> tuple[torch.Tensor, torch.Tensor]:
    """The texels in whose centre a chart lies, and what the mesh has there.

    uv          [V',2] in [0,1]
    faces_uv    [F,3] int64 into uv
    attributes  [V,C] of vertices: positions, normals or what else is wanted, side by side
    faces       [F,3] int64 into attributes, the same faces in the same order
    size        of the texture, height and width
    chunk       texels rasterised at once: memory beyond the result is O(chunk C)

    Returns texel [K] int64, rising indices into the rows of a texture laid end to end, and values [K,C]. Where charts
    overlap the lower face wins. Raises ShapeError naming the argument.
    """
    check_shape("uv", uv, "V'", 2)
    check_shape("faces_uv", faces_uv, "F", 3)
    check_shape("attributes", attributes, "V", "C")
    check_shape("faces", faces, len(faces_uv), 3)
    rows = max(1, chunk // size)
    texels, values = [], []
    for top in range(0, size, rows):
        count = min(rows, size - top)
        x, y = 2 * uv[:, 0] - 1, 1 - 2 * (uv[:, 1] * size - top) / count
        rast = rasterize(torch.stack([x, y, torch.zeros_like(x), torch.ones_like(x)], 1)[None], faces_uv, (count, size))
        inside = rast[..., 3].flatten().nonzero().squeeze(1)
        texels.append(top * size + inside)
        values.append(interpolate(attributes, rast, faces).flatten(0, 2)[inside])
    return torch.cat(texels), torch.cat(values)


def dilate(texture: torch.Tensor, mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """Pads charts: texels outside the mask take the value of the nearest texel inside, up to a distance.

    texture  [H,W,C]
    mask     [H,W] bool, texels that hold a value
    pixels   largest Euclidean distance that is filled, in texels; farther texels keep what they hold

    Returns [H,W,C]. Bilinear lookups need 1, each mip level doubles it. The nearest texel is exact; among
    equally near ones the choice is fixed but arbitrary. Differentiable in texture. Time O(H W pixels).
    Raises ShapeError naming the argument.
    """
    check_shape("texture", texture, "H", "W", "C")
    height, width, channels = texture.shape
    check_shape("mask", mask, height, width)
    source = _nearest_texel(mask, pixels)
    return texture.reshape(-1, channels)[source.flatten()].view_as(texture)


def _nearest_texel(mask: torch.Tensor, pixels: int) -> torch.Tensor:
    """mask [H,W] -> [H,W] int64: flat index of the nearest texel of mask within `pixels`, else of the texel itself.

    Nearest row within each column first, then the best of the columns around: the two-pass distance transform.
    """
    height, width = mask.shape
    row = torch.arange(height, device=mask.device)[:, None].expand(height, width)
    far = 2 * (height + width)
    above = torch.where(mask, row, -far).cummax(0).values
    below = torch.where(mask, row, far + height).flip(0).cummin(0).values.flip(0)
    nearest = torch.where(row - above <= below - row, above, below)
    gap = (nearest - row).square()
    reach = min(pixels, width - 1)
    limit = pixels ** 2 + 1
    best = gap.clamp(max=limit)
    column = torch.arange(width, device=mask.device).expand(height, width)
    source = torch.where(gap < limit, nearest * width + column, row * width + column)
    for step in range(1, reach + 1):
        if step ** 2 >= int(best.amax()):
            break
        for shift in (-step, step):
            here = slice(max(0, -shift), width - max(0, shift))
            there = slice(max(0, shift), width - max(0, -shift))
            distance = gap[:, there] + step ** 2
            better = distance < best[:, here]
            best[:, here] = torch.where(better, distance, best[:, here])
            source[:, here] = torch.where(better, nearest[:, there] * width + column[:, there], source[:, here])
    return source


def sample_texture(texture: torch.Tensor, uv: torch.Tensor) -> torch.Tensor:
    """Bilinear lookup; beyond the outermost texel centres the border's value continues.

    texture [H,W,C], uv [...,2] (convention of this file: v grows from row 0 on).

    Returns [...,C]. Differentiable in texture and uv. Raises ShapeError naming the argument.
    """
    check_shape("texture", texture, "H", "W", "C")
    if uv.ndim == 0 or uv.shape[-1] != 2:
        raise ShapeError(f"uv must have shape [...,2], got {list(uv.shape)}")
    grid = (2 * uv - 1).reshape(1, 1, -1, 2)
    found = F.grid_sample(texture.permute(2, 0, 1)[None], grid, mode="bilinear", padding_mode="border",
                          align_corners=False)
    return found[0, :, 0].T.reshape(*uv.shape[:-1], texture.shape[2])
