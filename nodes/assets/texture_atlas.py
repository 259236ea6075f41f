"""Several pictures, repeated or tinted, in one texture that no coordinate leaves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable

import numpy as np
import torch

from ...kernels.image.color import linear_to_srgb, srgb_to_linear
from ...kernels.surface.components import connected
from ...kernels.uv.bake import covered_texels, dilate
from ...kernels.uv.box_atlas import box_atlas
from .mesh import weld
from .mesh_part import Part
from .picture_file import as_floats

MAX_SIDE = 8192  # of an atlas, pixels
MAX_ATLAS = 1 << 25      # its pixels
MAX_TILED = 1 << 24  # pixels of a picture with its repeats
GAP = 4  # pixels of a picture's border that are continued around it
NEAR = 1e-3  # of a picture: coordinates that leave it by less are rounding
MAX_BAKED = 300_000  # faces


@dataclass(eq=False)
class Tile:
    """A picture [H,W,4] with a linear factor [3] and the material's transparency (see `Look`; opaque: the factor of
    alpha), and the range of coordinates that are used of it: low, high [2], whole numbers unless the picture ends at
    its edge."""

    picture: np.ndarray
    factor: np.ndarray
    wrap: tuple[str, str]
    alpha: str = "OPAQUE"
    cutoff: float = 0.5
    opaque: float = 1.0
    low: np.ndarray = field(default_factory=lambda: np.zeros(2))
    high: np.ndarray = field(default_factory=lambda: np.ones(2))

    @property
    def opacity(self) -> torch.Tensor:
        """[H,W]"""
        alpha = torch.as_tensor(np.ascontiguousarray(as_floats(self.picture[..., 3])))
        return torch.ones_like(alpha) if self.alpha == "OPAQUE" else alpha * self.opaque

    def add(self, part: Part) -> np.ndarray:
        """Notes what a part uses. Returns its coordinates [V,2], charts that lie elsewhere moved into the picture by
        whole repeats."""
        uv = part.uv.astype(np.float64).clip(-1e6, 1e6)
        if uv.min() < -NEAR or uv.max() > 1 + NEAR:
            edges = torch.as_tensor(np.ascontiguousarray(part.faces[:, [0, 1, 1, 2]].reshape(-1, 2)))
            chart = connected(edges, len(uv)).numpy()
            for axis, wrap in enumerate(self.wrap):
                if wrap != "edge":
                    period = 1 if wrap == "repeat" else 2
                    lowest = np.full(chart.max() + 1, np.inf)
                    np.minimum.at(lowest, chart, uv[:, axis])
                    uv[:, axis] -= (period * np.floor((lowest + NEAR) / period))[chart]
        self.low = np.minimum(self.low, np.floor(uv.min(0) + NEAR))
        self.high = np.maximum(self.high, np.ceil(uv.max(0) - NEAR))
        return uv

    def relative(self, uv: np.ndarray) -> np.ndarray:
        """Coordinates in [0,1] of the spread picture."""
        return ((uv - self.low) / (self.high - self.low)).clip(0, 1)


def spread(tile: Tile, warn: Callable[[str], None]) -> None:
    """Repeats the tile's picture as its coordinates ask for. More than MAX_TILED pixels are made coarser, with a
    warning."""
    low, high = tile.low.astype(int), tile.high.astype(int)
    if (low == 0).all() and (high == 1).all():
        return
    for axis, wrap in enumerate(tile.wrap):
        if wrap == "edge":  # what lies beyond is the border's colour, however far
            low[axis], high[axis] = max(low[axis], -1), min(high[axis], 2)
            tile.low[axis], tile.high[axis] = low[axis], high[axis]
    repeats = high - low
    height, width, _ = tile.picture.shape
    share = min(1.0, (MAX_TILED / (float(repeats.prod()) * height * width)) ** 0.5)
    side = np.maximum(np.array([width, height]) * share, 1).astype(int)
    if share < 1:
        warn(
            f"Texture coordinates repeat a picture {repeats[0]} x {repeats[1]} times. The texture holds the repeats, "
            f"so each has {side[0]} x {side[1]} pixels instead of {width} x {height}."
        )
        tile.picture = resized(tile.picture, side[1], side[0])
    if (side * repeats).max() > MAX_SIDE:
        warn(
            f"Texture coordinates repeat a picture {repeats[0]} x {repeats[1]} times, more than a texture can "
            "hold: its mean colour takes its place."
        )
        tile.picture = as_floats(tile.picture).mean((0, 1), keepdims=True)
        return
    columns, rows = (
        _place(np.arange(low[axis] * side[axis], high[axis] * side[axis]), side[axis], tile.wrap[axis])
        for axis in (0, 1)
    )
    tile.picture = tile.picture[rows[:, None], columns]


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Means over areas, [height,width,C]."""
    image = torch.as_tensor(np.ascontiguousarray(as_floats(picture))).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(image, (height, width), mode="area")
    return small[0].permute(1, 2, 0).numpy()


@dataclass
class Place:
    """Where a picture lies in the atlas: offset and scale [2] of coordinates."""

    offset: np.ndarray
    scale: np.ndarray

    def of(self, uv: np.ndarray) -> np.ndarray:
        return self.offset + uv * self.scale


Packed = tuple[torch.Tensor, "torch.Tensor | None", dict[Tile, Place]]


def pack(tiles: list[Tile], warn: Callable[[str], None]) -> Packed:
    """One texture [H,W,3] of all tiles, in shelves, its opacity [H,W] (None: opaque) and the place of each tile. A
    single tile is the texture itself. More than MAX_ATLAS pixels are made coarser, with a warning."""
    is_opaque = all(tile.alpha == "OPAQUE" for tile in tiles)
    if len(tiles) == 1:
        whole = {tiles[0]: Place(np.zeros(2), np.ones(2))}
        return tinted(tiles[0].picture, tiles[0].factor), None if is_opaque else tiles[0].opacity, whole
    _fit(tiles, warn)
    width, height, corners = _shelves([tile.picture.shape[:2] for tile in tiles])
    atlas, opacity = torch.zeros(height, width, 3), None if is_opaque else torch.ones(height, width)
    places = {}
    for tile, (x, y) in zip(tiles, corners):
        high, wide = tile.picture.shape[:2]
        rows, columns = (torch.arange(-GAP, size + GAP).clamp(0, size - 1) for size in (high, wide))
        inside = (slice(y, y + high + 2 * GAP), slice(x, x + wide + 2 * GAP))
        atlas[inside] = tinted(tile.picture, tile.factor)[rows[:, None], columns]
        if opacity is not None:
            opacity[inside] = tile.opacity[rows[:, None], columns]
        corner = np.array([(x + GAP) / width, (y + GAP) / height])
        places[tile] = Place(corner, np.array([wide / width, high / height]))
    return atlas, opacity, places


def _fit(tiles: list[Tile], warn: Callable[[str], None]) -> None:
    """Makes pictures smaller until their atlas fits, each picture once."""
    total = sum(tile.picture.shape[0] * tile.picture.shape[1] for tile in tiles)
    share = min(1.0, (MAX_ATLAS / total) ** 0.5)
    while True:
        sizes = [tuple(max(1, int(side * share)) for side in tile.picture.shape[:2]) for tile in tiles]
        width, height, _ = _shelves(sizes)
        if max(width, height) <= MAX_SIDE:
            break
        if all(max(size) <= 1 for size in sizes):
            raise ValueError(f"{len(tiles)} pictures, more than an atlas of {MAX_SIDE} pixels holds")
        share *= 0.8
    if share == 1:
        return
    warn(f"The {len(tiles)} pictures and tints of the file have {total / 1e6:.0f} million pixels together. They are "
         f"made smaller, to {share:.0%} of their sides.")
    known: dict[int, np.ndarray] = {}
    for tile, size in zip(tiles, sizes):
        key = id(tile.picture)
        known[key] = known[key] if key in known else resized(tile.picture, *size)
        tile.picture = known[key]


def transparency(tiles: list[Tile], opacity: torch.Tensor | None) -> tuple[torch.Tensor | None, float | None]:
    """The opacity [H,W] and the cutoff of a mesh of these tiles: see `Mesh`."""
    kinds = {tile.alpha for tile in tiles}
    if opacity is None or float(opacity.min()) >= 1:
        return None, None
    if "BLEND" in kinds:
        return opacity.contiguous(), None
    return opacity.contiguous(), max(tile.cutoff for tile in tiles if tile.alpha == "MASK")


def _shelves(sizes: list[tuple[int, int]]) -> tuple[int, int, list[tuple[int, int]]]:
    """Width and height of an atlas of pictures (height, width) with gaps, and the corner (x, y) of each."""
    sizes = [(high + 2 * GAP, wide + 2 * GAP) for high, wide in sizes]
    limit = max(max(wide for _, wide in sizes), int(sum(high * wide for high, wide in sizes) ** 0.5 * 1.05))
    corners: dict[int, tuple[int, int]] = {}
    x = y = shelf = right = 0
    for number in sorted(range(len(sizes)), key=lambda number: -sizes[number][0]):
        high, wide = sizes[number]
        if x + wide > limit and x:
            x, y, shelf = 0, y + shelf, 0
        corners[number] = (x, y)
        x, shelf, right = x + wide, max(shelf, high), max(right, x + wide)
    return right, y + shelf, [corners[number] for number in range(len(sizes))]


def baked(part: Part, warn: Callable[[str], None]) -> tuple[Part, np.ndarray]:
    """A part whose colours vary at the vertices, with both them and its picture in a new picture with coordinates of
    its own.

    Returns it and the old vertex of each new one. Above MAX_BAKED faces it keeps its picture alone, with a warning.
    """
    if len(part.faces) > MAX_BAKED:
        warn(
            f"A part of {len(part.faces)} triangles has a picture and colours at its vertices. Above {MAX_BAKED} "
            "the colours are "
            "dropped: simplify the mesh."
        )
        return replace(part, colors=None), np.arange(len(part.vertices))
    size = (
        1024 if part.look.picture is None else int(2 ** np.ceil(np.log2(max(part.look.picture.shape[:2]))).clip(8, 12))
    )
    corner = np.ascontiguousarray(part.faces.reshape(-1))
    positions = torch.as_tensor(part.vertices - part.vertices.mean(0)).double()
    places, joined, place = weld(
        positions / positions.abs().max().clamp_min(1e-300), torch.as_tensor(np.ascontiguousarray(part.faces))
    )
    uv, faces, _ = box_atlas(places.float(), joined, GAP / size)
    columns = [torch.as_tensor(part.colors[corner])] + (
        [torch.as_tensor(part.uv[corner])] if part.uv is not None else []
    )
    texel, values = covered_texels(
        uv, faces, torch.cat(columns, 1).float(), torch.arange(len(corner)).view(-1, 3), size
    )
    linear, alpha = values[:, :3], torch.ones(len(values), 1)
    if part.look.picture is not None and part.uv is not None:
        found = torch.as_tensor(_lookup(part.look.picture, values[:, 3:].double().numpy(), part.look.wrap))
        linear, alpha = linear * srgb_to_linear(found[:, :3]), found[:, 3:]
    picture, mask = torch.zeros(size * size, 4), torch.zeros(size * size, dtype=torch.bool)
    picture[texel], mask[texel] = torch.cat([linear_to_srgb(linear.clamp(0, 1)), alpha], 1), True
    picture = dilate(picture.view(size, size, 4), mask.view(size, size), GAP).numpy()
    warn(
        "A part of the mesh has a picture and colours at its vertices. Both are drawn into a new texture with other "
        "coordinates."
    )
    # A new vertex for each pair of old vertex and coordinate.
    keys, new = np.unique(np.stack([corner, faces.reshape(-1).numpy()], 1), axis=0, return_inverse=True)
    source = keys[:, 0]
    return Part(
        part.vertices[source],
        new.reshape(-1, 3),
        None,
        uv.numpy()[keys[:, 1]],
        None,
        replace(part.look, picture=picture, wrap=("edge", "edge")),
    ), source


def _lookup(picture: np.ndarray, uv: np.ndarray, wrap: tuple[str, str]) -> np.ndarray:
    """Bilinear, [N,4], outside 0..1 as `wrap` says."""
    height, width, _ = picture.shape
    found = np.zeros((len(uv), 4), np.float32)
    x, y = uv[:, 0].clip(-1e6, 1e6) * width - 0.5, uv[:, 1].clip(-1e6, 1e6) * height - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            share = np.abs(1 - right - (x - left)) * np.abs(1 - down - (y - top))
            near = picture[_place(top + down, height, wrap[1]), _place(left + right, width, wrap[0])]
            found += share[:, None] * as_floats(near)
    return found


def _place(place: np.ndarray, size: int, wrap: str) -> np.ndarray:
    """The pixels of a row of `size` that stand at places beyond it."""
    if wrap == "edge":
        return place.clip(0, size - 1)
    if wrap == "repeat":
        return place % size
    place = place % (2 * size)
    return np.where(place < size, place, 2 * size - 1 - place)


def tinted(picture: np.ndarray, factor: np.ndarray) -> torch.Tensor:
    """[H,W,3] display-referred times a linear factor [3]."""
    texture = torch.as_tensor(np.ascontiguousarray(as_floats(picture[..., :3])))
    if (factor >= 1).all():
        return texture
    return linear_to_srgb(srgb_to_linear(texture) * torch.as_tensor(factor, dtype=torch.float32)).clamp(0, 1)
