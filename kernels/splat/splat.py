"""Gaussians drawn into pictures, by tiles."""
from __future__ import annotations

from typing import NamedTuple

import torch
from torch.utils.checkpoint import checkpoint

from .. import backend, warp_runtime
from ..checks import check_shape
from ..lens import Lens, ray_lengths
from .project import DARKEST, Ellipses, project
from .tiles import tiles_of

OPAQUE = 0.999        # most that one Gaussian hides
DARK = 1e-4           # a pixel ends before the Gaussian that would bring its transmittance below this
TILE = 8              # pixels: of the sizes tried the fastest for the reference
KEPT = 8              # pieces that are kept for the backward pass; with more, each is recomputed there


class Splatted(NamedTuple):
    """Pictures of B cameras.

    features  [B,H,W,C]  weight-summed, no background
    opacity   [B,H,W,1]  sum of the weights, in [0,1]
    depth     [B,H,W,1]  weight-summed distance along the pixel's ray, world units, not divided by opacity: where the
              ray
                         meets the plane through the Gaussian's centre that is parallel to the picture
    centers   [B,N,2]    pixels, x to the right and y down, of the Gaussians. The picture is computed from this tensor,
              so
                         after centers.retain_grad() the backward pass leaves its gradient there. Undefined if not
                         visible
    radii     [B,N]      pixels: half the longer side of the box around the visible part; 0 if not visible. No gradient
    """

    features: torch.Tensor
    opacity: torch.Tensor
    depth: torch.Tensor
    centers: torch.Tensor
    radii: torch.Tensor


def splat(positions: torch.Tensor, rotations: torch.Tensor, scales: torch.Tensor, opacities: torch.Tensor,
          features: torch.Tensor, c2w: torch.Tensor, lens: Lens | torch.Tensor, height: int, width: int, *,
          near: float = 0.01, antialiased: bool = False, chunk: int = 1 << 19) -> Splatted:
    """Draws N Gaussians into B pictures (Kerbl et al. 2023; conventions of gsplat 1.5, Ye et al. 2025).

    positions      [N,3]  world
    rotations      [N,4]  wxyz, of any length but 0
    scales         [N,3]  standard deviations along the Gaussian's own axes, world units, > 0
    opacities      [N,1]  in [0,1], at the centre
    features       [N,C] or [B,N,C]
    c2w            [B,4,4] camera to world, a rotation and a translation; OpenGL axes
    lens           a Lens, or the vertical fields of view [B] of pinholes, radians
    height, width  of the pictures, pixels
    near           distance along the view direction, > 0, from which on centres are visible
    antialiased    fade Gaussians smaller than a pixel by the area that the low-pass filter added (Yu et al. 2024,
                   Mip-Splatting)
    chunk          (pixel, Gaussian) tests that the reference holds in memory at once (about 50 bytes each)

    A Gaussian has alpha = min(0.999, opacity exp(-power)) in a pixel and counts where that is at least 1/255. Gaussians
    are composited in the order of their distance along the view direction, at equal distance in the order of their
    index. A pixel ends before its transmittance would fall below 1e-4.

    Differentiable in all tensors, to any order. Computed in the type of positions, at least float32. Memory O(P) for P
    pairs of a Gaussian and a tile it touches; on processors the same input gives the same bits. Raises ShapeError
    naming the argument. Backends: torch, gsplat (CUDA, float32, first derivatives only), warp (float32; second
    derivatives use the reference). The projection is a separate op, by torch or warp.
    """
    check_shape("positions", positions, "N", 3)
    count = len(positions)
    for name, value, last in (("rotations", rotations, 4), ("scales", scales, 3), ("opacities", opacities, 1)):
        check_shape(name, value, count, last)
    check_shape("c2w", c2w, "B", 4, 4)
    wide = torch.promote_types(positions.dtype, torch.float32)
    lens = Lens.of(lens.to(wide))
    check_shape("scale" if lens.is_orthographic else "fovy", lens.half, len(c2w))
    if features.ndim == 2:
        check_shape("features", features, count, "C")
        features = features.expand(len(c2w), -1, -1)
    check_shape("features", features, len(c2w), count, "C")
    if not near > 0:
        raise ValueError(f"splat: near is {near}; it must be > 0.")

    positions, rotations, scales, opacities, features, c2w = (
        one.to(wide) for one in (positions, rotations, scales, opacities, features, c2w))
    seen = project(positions, rotations, scales, opacities, c2w, lens, height, width, near, antialiased)
    # A row for each Gaussian: two numbers for its center, three for its conic, its opacity, and what it shows: its
    # features, its depth, and 1, whose sum is the picture's opacity.
    table = torch.cat([seen.centers, seen.conics, seen.opacities[..., None], features,
                       seen.depths[..., None], torch.ones_like(seen.depths)[..., None]], -1)
    run = backend.implementation("splat", table.device, table.dtype)
    sums, depth, opacity = run(table, seen, height, width, chunk).split([features.shape[-1], 1, 1], -1)
    return Splatted(sums, opacity, depth * ray_lengths(lens, height, width), seen.centers, seen.reach.amax(-1))


def _by_torch(table: torch.Tensor, seen: Ellipses, height: int, width: int, chunk: int) -> torch.Tensor:
    """table [B,N,6 + K] -> weighted sums [B,H,W,K]; of `seen` only what has no gradient is looked at."""
    tiles = tiles_of(seen.centers, seen.reach, seen.depths, height, width, TILE)
    (rows, columns), pixels, channels = tiles.grid, TILE * TILE, table.shape[-1] - 6
    # The last row is invisible and fills the shorter lists of a piece.
    views, table = len(table), torch.nn.functional.pad(table.flatten(0, 1), (0, 0, 0, 1))
    counts = tiles.offsets.diff()
    busy = torch.argsort(counts, descending=True, stable=True)
    lengths = [length for length in counts[busy].tolist() if length]
    pieces, start = [], 0
    while start < len(lengths):
        stop = min(start + max(1, chunk // (pixels * lengths[start])), len(lengths))
        pieces.append((start, stop, lengths[start]))
        start = stop
    # so that there is a way back where nothing is seen
    drawn = [table[:0, None, 6:].expand(-1, pixels, -1)]
    for start, stop, longest in pieces:
        piece = busy[start:stop]
        rank = torch.arange(longest, device=table.device)
        pair = tiles.offsets[piece, None] + rank
        row = torch.where(rank < counts[piece, None], tiles.gaussian[pair.clamp(max=len(tiles.gaussian) - 1)],
                          len(table) - 1)
        corner = torch.stack([piece % columns, piece // columns % rows], -1).to(table.dtype) * TILE
        if len(pieces) > KEPT and table.requires_grad and torch.is_grad_enabled():
            drawn.append(checkpoint(_draw_tiles, table, row, corner, use_reentrant=False, preserve_rng_state=False))
        else:
            drawn.append(_draw_tiles(table, row, corner))
    sums = table.new_zeros(len(counts), pixels, channels).index_copy(0, busy[:len(lengths)], torch.cat(drawn))
    sums = sums.view(views, rows, columns, TILE, TILE, channels).transpose(2, 3)
    return sums.reshape(views, rows * TILE, columns * TILE, channels)[:, :height, :width]


def _draw_tiles(table: torch.Tensor, row: torch.Tensor, corner: torch.Tensor) -> torch.Tensor:
    """T tiles that begin at pixel corner [T,2] (column, row), with Gaussians row [T,M] nearest first -> sums
    [T,pixels,K]."""
    listed = table.index_select(0, row.flatten()).view(*row.shape, -1)
    x, y, xx, xy, yy, opacity = (one.squeeze(-1) for one in listed[..., :6].split(1, -1))
    pixel = torch.arange(TILE, device=table.device, dtype=table.dtype) + 0.5
    dx = (corner[:, :1] + pixel)[..., None] - x[:, None]                      # [T,TILE,M]
    dy = (corner[:, 1:] + pixel)[..., None] - y[:, None]
    power = torch.addcmul((0.5 * yy[:, None] * dy.square())[:, :, None], dy[:, :, None], (xy[:, None] * dx)[:, None])
    power = power + (0.5 * xx[:, None] * dx.square())[:, None]                # [T,TILE,TILE,M]
    alpha = (opacity[:, None, None] * torch.exp(-power)).clamp(max=OPAQUE)
    alpha = torch.where(alpha >= DARKEST, alpha, 0.0)
    left = torch.cumprod(1 - alpha, -1)
    light = torch.nn.functional.pad(left[..., :-1], (1, 0), value=1.0)
    weights = torch.where(left > DARK, alpha * light, 0.0)
    return weights.flatten(1, 2) @ listed[..., 6:]


def _by_warp(table: torch.Tensor, seen: Ellipses, height: int, width: int, chunk: int) -> torch.Tensor:
    from .splat_warp import SIDE, Splat

    tiles = tiles_of(seen.centers, seen.reach, seen.depths, height, width, SIDE)
    return Splat.apply(table, tiles, height, width, (OPAQUE, DARK),
                       lambda again: _by_torch(again, seen, height, width, chunk))


def _by_gsplat(*given) -> torch.Tensor:
    from .splat_gsplat import draw
    return draw(*given)


def _why_no_gsplat(device: torch.device, dtype: torch.dtype) -> str | None:
    from .splat_gsplat import unusable
    return unusable(device, dtype)


def _self_test(device: torch.device, run) -> None:
    """Raises unless the picture of a few ellipses by `run`, and its gradients, equal those of the reference."""
    place = torch.arange(40.0, device=device)
    columns = (10 + 12 * (3 * place).sin(), 9 + 10 * (5 * place).cos(), 0.2 + 0.1 * place.sin(),
               0.08 * (2 * place).sin(),
               0.2 + 0.1 * place.cos(), 0.5 + 0.4 * (7 * place).sin(), place.cos(), place.sin(), 0 * place + 1)
    found = []
    for draw in _by_torch, run:
        table = torch.stack(columns, -1)[None].requires_grad_()
        seen = Ellipses(table[..., :2], table[..., 2:5], table[..., 5], place[None],
                        torch.full_like(table[..., :2], 12.0))
        sums = draw(table, seen, 19, 21, 1 << 19)
        # Without the column of ones, to which not every backend hands a gradient.
        found.append((sums, torch.autograd.grad((sums.square() + sums).sum(), table)[0][..., :-1]))
    for name, wanted, got in zip(("the picture", "the gradient"), *found):
        backend.expect_close(name, got, wanted)


backend.register("splat", backend.REFERENCE, _by_torch)
backend.register("splat", "gsplat", _by_gsplat, _why_no_gsplat, lambda device: _self_test(device, _by_gsplat))
backend.register("splat", "warp", _by_warp, warp_runtime.unusable, lambda device: _self_test(device, _by_warp))
