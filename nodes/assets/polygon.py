"""Triangles of polygons as mesh files hold them: flat or nearly so, convex or not."""

from __future__ import annotations

import numpy as np

MAX_CORNERS = 2000  # of a polygon that is not convex: ear clipping takes their square


def triangulate(vertices: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Corners of the triangles of polygons with N corners each.

    vertices [V,3], polygons [P,N] indices into them

    Returns [P,N-2,3] int64 positions 0..N-1 in each polygon, with its orientation. Convex polygons become fans around
    the first corner; others lose one ear after the other (Meisters 1975). Raises ValueError above MAX_CORNERS for the
    latter.
    """
    count, corners = polygons.shape
    fan = np.stack([np.zeros(corners - 2, np.int64), np.arange(1, corners - 1), np.arange(2, corners)], 1)
    found = np.broadcast_to(fan, (count, corners - 2, 3)).copy()
    if corners == 3:
        return found
    flat = _flat(vertices[polygons])
    after = np.roll(flat, -1, 1) - flat
    turns = _cross(np.roll(after, 1, 1), after)
    with np.errstate(all="ignore"):
        angle = np.arctan2(turns, (np.roll(after, 1, 1) * after).sum(-1)).sum(1)
    scale = np.abs(after).max((1, 2)) ** 2
    concave = (turns.min(1) < -1e-7 * scale) | (np.abs(angle) > 2 * np.pi + 0.1)
    for index in np.flatnonzero(concave):
        if corners > MAX_CORNERS:
            raise ValueError(f"a polygon with {corners} corners that is not convex; at most {MAX_CORNERS} are read")
        found[index] = _clip_ears(flat[index])
    return found


def _flat(corners: np.ndarray) -> np.ndarray:
    """Corners [P,N,3] in the plane that the polygon's area vector (Newell) is normal to: [P,N,2], counter-clockwise."""
    corners = corners.astype(np.float64)
    corners = corners - corners.mean(1, keepdims=True)
    largest = np.abs(corners).max((1, 2), keepdims=True)
    corners = corners / np.where(largest > 0, largest, 1)
    normal = np.cross(corners, np.roll(corners, -1, 1)).sum(1)
    axis = np.abs(normal).argmax(1)
    sign = np.sign(np.take_along_axis(normal, axis[:, None], 1))
    first = np.take_along_axis(corners, ((axis + 1) % 3)[:, None, None], 2)[..., 0]
    second = np.take_along_axis(corners, ((axis + 2) % 3)[:, None, None], 2)[..., 0]
    return np.stack([first, np.where(sign < 0, -1, 1) * second], -1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _clip_ears(flat: np.ndarray) -> list[list[int]]:
    """Triangles of a counter-clockwise polygon [N,2], N - 2 of them."""
    rest, found = list(range(len(flat))), []
    while len(rest) > 3:
        ring = np.array(rest)
        points = flat[ring]
        before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
        area = _cross(points - before, after - points)
        ear = None
        for place in np.argsort(-area, kind="stable"):
            if area[place] <= 0:
                break
            a, b, c = before[place], points[place], after[place]
            inside = (
                (_cross(b - a, points - a) >= 0) & (_cross(c - b, points - b) >= 0) & (_cross(a - c, points - c) >= 0)
            )
            # Corners that only touch the ear (the same place again) do not forbid it.
            same = (points[:, None] == np.stack([a, b, c])[None]).all(-1).any(-1)
            if not (inside & ~same).any():
                ear = int(place)
                break
        if ear is None:  # crosses itself: what is left becomes a fan
            break
        found.append([rest[ear - 1], rest[ear], rest[(ear + 1) % len(rest)]])
        del rest[ear]
    return found + [[rest[0], rest[k], rest[k + 1]] for k in range(1, len(rest) - 1)]
