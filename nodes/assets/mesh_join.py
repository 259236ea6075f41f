"""Parts of a mesh file as one mesh: placed, with normals, and with one texture or one colour a vertex."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.color import linear_to_srgb
from .mesh import Mesh, from_y_up, smooth_normals
from .mesh_part import Part
from .texture_atlas import Tile, baked, pack, spread, transparency

_WHITE = np.ones((4, 4, 4), np.float32)


def join(parts: list[Part], warn: Callable[[str], None]) -> Mesh | None:
    """All parts as one mesh in the pack's axes; None if no triangle is left.

    Base colour: pictures times factors times vertex colours, as in glTF. If no part has a picture, the result has
    vertex colours. Otherwise it has a texture: the file's, or an atlas of several. A picture that is multiplied by
    varying vertex colours is baked into a new picture. Triangles with vertices that are not finite are dropped with a
    warning, and so is the transparency of materials without pictures.
    """
    parts = [part for one in parts if len((part := _finite(one, warn)).faces)]
    if not parts:
        return None
    normals = F.normalize(torch.cat([_normals(part) for part in parts]), dim=-1)
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    vertices, faces = _tensor(np.concatenate([part.vertices for part in parts])), _faces(parts, starts)
    if not any(_is_textured(part) for part in parts):
        looks = [part.look for part in parts if part.look.alpha != "OPAQUE" and part.look.factor is not None]
        if any(look.factor[3] < 1 for look in looks):
            warn("A material is transparent and has no picture. It is read as opaque.")
        for part in parts:
            if part.look.picture is not None:
                warn("A part of the mesh has a picture but no texture coordinates. Only the colour of its "
                     "material is used.")
        return Mesh(from_y_up(vertices), faces, vertex_colors=_vertex_colors(parts), normals=from_y_up(normals))
    return _textured(parts, normals, warn)


def _is_textured(part: Part) -> bool:
    return part.look.picture is not None and part.uv is not None


def _finite(part: Part, warn: Callable[[str], None]) -> Part:
    """The part without triangles whose vertices are not finite (as float32) or do not exist."""
    with np.errstate(over="ignore"):
        good = np.isfinite(part.vertices.astype(np.float32)).all(1)
    if not good.all():
        keep = good[part.faces].all(1)
        warn(
            f"{int((~good).sum())} of {len(good)} vertices are not finite: {int((~keep).sum())} triangles at them "
            "are left out."
        )
        vertices = np.where(good[:, None], part.vertices, 0)
        part = replace(part, vertices=vertices, faces=part.faces[keep])
    if part.uv is not None and not np.isfinite(part.uv).all():
        part = replace(part, uv=np.nan_to_num(part.uv, nan=0.0, posinf=0.0, neginf=0.0))
    if part.colors is not None and not np.isfinite(part.colors).all():
        part = replace(part, colors=np.nan_to_num(part.colors, nan=1.0))
    return part


def _normals(part: Part) -> Tensor:
    """The normals of the file; where they have no length, the shading normals of the part."""
    if part.normals is not None:
        with np.errstate(all="ignore"):
            normals = part.normals / np.linalg.norm(part.normals, axis=1, keepdims=True)
        good = np.isfinite(normals).all(1)
        if good.all():
            return _tensor(normals)
    own = smooth_normals(_tensor(part.vertices), torch.as_tensor(np.ascontiguousarray(part.faces)))
    return (
        own
        if part.normals is None
        else torch.where(torch.as_tensor(good)[:, None], _tensor(np.nan_to_num(normals)), own)
    )


def _faces(parts: list[Part], starts: np.ndarray) -> Tensor:
    return torch.as_tensor(
        np.concatenate([part.faces + start for part, start in zip(parts, starts)]), dtype=torch.int64
    )


def _vertex_colors(parts: list[Part]) -> Tensor | None:
    """[V,3] display-referred; None if no part has one."""
    if all(part.colors is None and part.look.factor is None for part in parts):
        return None
    found = []
    for part in parts:
        color = np.ones((len(part.vertices), 3)) if part.colors is None else part.colors
        found.append(color if part.look.factor is None else color * part.look.factor[:3])
    return linear_to_srgb(_tensor(np.concatenate(found)).clamp(0, 1))


def _textured(parts: list[Part], normals: Tensor, warn: Callable[[str], None]) -> Mesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    known: dict[tuple, Tile] = {}
    tiles, pieces = [], []
    for part, start in zip(parts, starts):
        own = normals[start : start + len(part.vertices)]
        part, color = _one_color(part)
        if part.colors is not None:  # varies
            part, source = baked(part, warn)
            own = own[source]
        look = part.look
        factor, opaque = color, 1.0
        if look.factor is not None:
            factor, opaque = color * look.factor[:3], float(look.factor[3])
        if not _is_textured(part):
            look = replace(look, picture=_WHITE, wrap=("edge", "edge"))
            part = replace(part, uv=np.full((len(part.vertices), 2), 0.5), look=look)
        clear = (look.alpha, look.cutoff, opaque) if look.alpha != "OPAQUE" else ()
        key = (id(look.picture), factor.tobytes(), look.wrap, clear)
        tile = known.setdefault(key, Tile(look.picture, factor, look.wrap, *clear))
        tiles.append(tile)
        pieces.append((part, own, tile.add(part)))
    for tile in known.values():
        spread(tile, warn)
    texture, opacity, places = pack(list(known.values()), warn)
    opacity, cutoff = transparency(list(known.values()), opacity)
    uv = np.concatenate(
        [places[tile].of(tile.relative(coordinates)) for tile, (_, _, coordinates) in zip(tiles, pieces)]
    )
    parts = [part for part, _, _ in pieces]
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    return Mesh(
        from_y_up(_tensor(np.concatenate([part.vertices for part in parts]))),
        _faces(parts, starts),
        _tensor(uv).clamp(0, 1),
        texture,
        normals=from_y_up(torch.cat([own for _, own, _ in pieces])),
        opacity=opacity,
        cutoff=cutoff,
    )


def _one_color(part: Part) -> tuple[Part, np.ndarray]:
    """Colours that are all the same become a factor [3]."""
    if part.colors is None:
        return part, np.ones(3)
    if np.ptp(part.colors, 0).max() > 1e-4:
        return part, np.ones(3)
    return replace(part, colors=None), part.colors.mean(0)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float32)
