"""The visible triangle of each pixel: the part of rasterisation that is not differentiable.

Homogeneous edge functions (Olano and Greer 1997): a pixel (X, Y) sees clip-space corners p0, p1, p2 where
a_i = (p_j x p_k) . (X, Y, 1) / det >= 0 with p = (x, y, w). That stays true for corners behind the camera,
so nothing is clipped and no triangle is ever cut up.
"""
from __future__ import annotations

import torch

from .. import backend, warp_runtime
from ..checks import check_shape
from ..ragged import expand

EMPTY = torch.iinfo(torch.int64).max
DEPTH_STEPS = (1 << 31) - 1
# Bounds are found with divisions, coverage without: so much slack, in pixels, lets rounding only add tests.
SLACK = 1e-3


def triangle_ids(positions: torch.Tensor, faces: torch.Tensor, height: int, width: int, *,
                 chunk: int = 1 << 18) -> torch.Tensor:
    """Nearest triangle of every pixel.

    positions  [B,V,4] clip space, OpenGL: x right, y up, visible where -w <= z <= w and w > 0
    faces      [F,3] int64, seen from both sides
    chunk      pixel tests that the reference holds in memory at once (about 200 bytes each)

    Returns ids [B,H,W] int64: 0 where nothing is seen, else the face's index + 1. Row 0 is the TOP of the
    picture; pixel (row, column) has its centre at x/w = (2 column + 1) / W - 1, y/w = 1 - (2 row + 1) / H.
    A pixel centre on an edge shared by two triangles belongs to exactly one of them. Equal depth: the lower id.
    Faces with a non-finite corner or without area on screen are not seen. No gradient. Computed in float64.
    Raises ShapeError naming the argument. Backends: torch, warp (the same ids on processors, pixel for
    pixel), nvdiffrast (another face in some pixels at edges).
    """
    check_shape("positions", positions, "B", "V", 4)
    check_shape("faces", faces, "F", 3)
    if positions.device.type == "mps":                   # neither float64 nor a 64-bit scatter minimum there
        return triangle_ids(positions.detach().cpu(), faces.cpu(), height, width, chunk=chunk).to(positions.device)
    run = backend.implementation("triangle_ids", positions.device, torch.float32)
    ids = [_one_view(points, faces, height, width, chunk, run) for points in positions.detach().double()]
    return torch.stack(ids) if ids else faces.new_zeros(0, height, width)


def _one_view(points: torch.Tensor, faces: torch.Tensor, height: int, width: int, chunk: int, run) -> torch.Tensor:
    """points [V,4] float64 -> ids [H,W]. run lowers the keys nearest [H*W], depth above id, to those of the faces."""
    nearest = torch.full((height * width,), EMPTY, dtype=torch.int64, device=points.device)
    run(points, faces, height, width, nearest, chunk)
    return torch.where(nearest == EMPTY, 0, nearest & 0xFFFFFFFF).view(height, width)


def _by_torch(points, faces, height, width, nearest, chunk):
    seen, low, high = _pixel_boxes(points, faces, height, width)
    # From here on tables are [3,K], three edges or corners of K faces: torch reduces and gathers those fastest.
    x, y, z, w = points[faces[seen].T].unbind(-1)
    slope_x, slope_y, offset = _edge_planes(x, y, w)
    # The side of an edge that owns the pixel centres on it: as if they were moved by (epsilon, epsilon^2).
    # The neighbour across the edge has exactly the negated plane, hence exactly the opposite answer.
    owns = (slope_x > 0) | ((slope_x == 0) & ((slope_y > 0) | ((slope_y == 0) & (offset > 0))))
    for face, step in expand(high[1] - low[1] + 1, chunk):
        row = low[1, face] + step
        slope = _take(slope_x, face)                                          # edge function = slope X + rest
        rest = _take(slope_y, face) * (1 - (2 * row + 1).double() / height) + _take(offset, face)
        left, right = _row_span(slope, rest, low[0, face], high[0, face], width)
        for span, shift in expand((right - left + 1).clamp(min=0), chunk):
            column = left[span] + shift
            value = _take(slope, span) * ((2 * column + 1).double() / width - 1) + _take(rest, span)
            hit = ((value > 0) | ((value == 0) & _take(owns, face[span]))).all(0).nonzero().squeeze(1)
            span, value = span[hit], _take(value, hit)
            owner = face[span]
            # A mean with weights >= 0, so that the depth of a sliver cannot leave that of its corners.
            depth = (value * _take(z, owner)).sum(0) / (value * _take(w, owner)).sum(0)
            key = (((depth + 1) / 2 * DEPTH_STEPS).round().long() << 32) + seen[owner] + 1
            pixel = row[span] * width + column[hit]
            nearest.scatter_reduce_(0, pixel, torch.where(depth.abs() <= 1, key, EMPTY), "amin")


def _by_warp(points, faces, height, width, nearest, chunk):
    from .triangle_ids_warp import nearest_keys

    nearest_keys(points, faces, height, width, nearest)


def _take(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """table [3,K], index [n] -> [3,n]."""
    return table.gather(1, index.expand(len(table), -1))


def _edge_planes(x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Corners, each [3,K] -> coefficients of X, Y and 1, each [3,K]: >= 0 inside edge i, opposite to corner i.

    Written as separate products and differences: a fused multiply-add (inside a cross product kernel) would
    break the exact antisymmetry on which shared edges rely. Faces seen edge-on get planes of 0: never hit.
    """
    (xa, xb), (ya, yb), (wa, wb) = ((corner.roll(-1, 0), corner.roll(-2, 0)) for corner in (x, y, w))
    plane_x, plane_y, plane_w = ya * wb - wa * yb, wa * xb - xa * wb, xa * yb - ya * xb
    side = (plane_x[0] * x[0] + plane_y[0] * y[0] + plane_w[0] * w[0]).sign()
    return plane_x * side, plane_y * side, plane_w * side


def _pixel_boxes(points: torch.Tensor, faces: torch.Tensor, height: int,
                 width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Faces [K] that may hold a pixel centre, and the first and last (column, row), each [2,K] int64, for each.

    points [V,4], faces [F,3]. The box lies around the projected corners; for a face that crosses the near plane
    z = -w it lies around the part in front.
    """
    size = torch.tensor([[width], [height]], device=points.device)
    ahead = points[:, 2] + points[:, 3] >= 0
    front = ahead & (points[:, 3] > 0) & points.isfinite().all(1)
    # Corners behind the camera (or nowhere) become NaN, which minimum and maximum hand on to the faces that need care.
    pixel = torch.where(front, _to_pixels(points, size), torch.nan)
    a, b, c = (pixel.index_select(1, corner) for corner in faces.T)
    low, high = torch.minimum(torch.minimum(a, b), c), torch.maximum(torch.maximum(a, b), c)
    crossing = (low[0].isnan() & ahead[faces].any(1)).nonzero().squeeze(1)
    if len(crossing):
        low[:, crossing], high[:, crossing] = _clipped_box(points[faces[crossing]], size)
    low, high = (low - SLACK).ceil().clamp(min=0), torch.minimum((high + SLACK).floor(), size - 1)
    seen = (low <= high).all(0).nonzero().squeeze(1)                          # NaN compares false
    return seen, low[:, seen].long(), high[:, seen].long()


def _to_pixels(points: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """points [...,4] in clip space -> (column, row) [2,...], pixel centres at integers."""
    column = ((points[..., 0] / points[..., 3] + 1) * size[0] - 1) / 2
    row = ((1 - points[..., 1] / points[..., 3]) * size[1] - 1) / 2
    return torch.stack([column, row])


def _clipped_box(corners: torch.Tensor, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """corners [K,3,4] on both sides of the near plane -> lowest and highest (column, row) [2,K] of the front part.

    The whole picture where that part is too close to w = 0 for a division to be trusted.
    """
    near = corners[..., 2] + corners[..., 3]
    end, near_end = corners.roll(-1, 1), near.roll(-1, 1)
    cut = corners + (near / (near - near_end))[..., None] * (end - corners)
    points = torch.cat([corners, cut], 1)
    valid = torch.cat([near >= 0, (near >= 0) != (near_end >= 0)], 1)
    w = points[..., 3]
    safe = (~valid | (w > 1e-6 * w.abs().amax(1, keepdim=True))).all(1)
    pixel = _to_pixels(points, size)
    low = torch.where(valid, pixel, torch.inf).amin(2)
    high = torch.where(valid, pixel, -torch.inf).amax(2)
    finite = corners.isfinite().flatten(1).all(1)
    return (torch.where(finite, torch.where(safe, low, 0.0), torch.nan),
            torch.where(finite, torch.where(safe, high, size - 1.0), torch.nan))


def _row_span(slope: torch.Tensor, rest: torch.Tensor, first: torch.Tensor, last: torch.Tensor,
              width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """First and last column [S] of a row where slope X + rest >= 0, each [3,S], for all edges, up to SLACK."""
    zero = -rest / slope
    low = torch.where(slope > 0, zero, -torch.inf).amax(0)
    high = torch.where(slope < 0, zero, torch.inf).amin(0)
    low = (((low + 1) * width - 1) / 2 - SLACK).ceil().clamp(min=-1, max=width)
    high = (((high + 1) * width - 1) / 2 + SLACK).floor().clamp(min=-1, max=width)
    return torch.maximum(first, low.long()), torch.minimum(last, high.long())


def _by_nvdiffrast(*given):
    from .triangle_ids_nvdiffrast import lower_keys
    lower_keys(*given)


def _why_no_nvdiffrast(device: torch.device, dtype: torch.dtype) -> str | None:
    from .triangle_ids_nvdiffrast import unusable
    return unusable(device, dtype)


def _compare(device: torch.device, run, allowed: int) -> None:
    """Raises unless `run` equals the reference for some faces, near and far, in all but `allowed` of 256 pixels."""
    corner = torch.arange(60, device=device, dtype=torch.float64)
    points = torch.stack([(3 * corner).sin(), (5 * corner).cos(), 0.5 * (7 * corner).sin(), 1 + 0.5 * corner.cos()], 1)
    faces = torch.arange(60, device=device).view(20, 3)
    wanted, found = (_one_view(points, faces, 16, 16, 1 << 18, one) for one in (_by_torch, run))
    if not wanted.any() or int((wanted != found).sum()) > allowed:
        raise ArithmeticError(f"{int((wanted != found).sum())} of 256 pixels show another face")


backend.register("triangle_ids", backend.REFERENCE, _by_torch)
backend.register("triangle_ids", "nvdiffrast", _by_nvdiffrast, _why_no_nvdiffrast,
                 lambda device: _compare(device, _by_nvdiffrast, 8))
backend.register("triangle_ids", "warp", _by_warp, warp_runtime.unusable,
                 lambda device: _compare(device, _by_warp, 0 if device.type == "cpu" else 1))
