"""Triangles of polygons as mesh files hold them: flat or nearly so, convex or not."""

from __future__ import annotations

import numpy as np

SMALL, CHUNK = 64, 1 << 20  # corners of polygons that lose their ears side by side; numbers of a step
MAX_WORK = 40_000_000       # squared corners, of all larger polygons that are not convex


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
    chosen = np.flatnonzero(concave)
    if corners <= SMALL:
        step = max(1, CHUNK // corners**2)
        for start in range(0, len(chosen), step):
            some = chosen[start:start + step]
            found[some] = _clip_all(flat[some])
    elif len(chosen) * corners**2 > MAX_WORK:
        raise ValueError(f"{len(chosen)} polygons with {corners} corners that are not convex; triangulate them first")
    else:
        for index in chosen:
            found[index] = _clip_ears(flat[index])
    return found


def _clip_all(flat: np.ndarray) -> np.ndarray:
    """Triangles [P,N-2,3] of counter-clockwise polygons [P,N,2]: one ear of each, then the next."""
    count, corners, _ = flat.shape
    every = np.arange(count)
    ring = np.tile(np.arange(corners), (count, 1))
    found = np.zeros((count, corners - 2, 3), np.int64)
    for number in range(corners - 2):
        points = flat[every[:, None], ring]
        before, after = np.roll(points, 1, 1), np.roll(points, -1, 1)
        area = _cross(points - before, after - points)
        a, b, c = (part[:, :, None] for part in (before, points, after))  # of each candidate, beside every point
        p = points[:, None]
        inside = (_cross(b - a, p - a) >= 0) & (_cross(c - b, p - b) >= 0) & (_cross(a - c, p - c) >= 0)
        inside &= ~((p == a).all(-1) | (p == b).all(-1) | (p == c).all(-1))
        size = ring.shape[1]
        good = (area > 0) & ~inside.any(2)
        ear = np.where(good, area, np.where(good.any(1, keepdims=True), -np.inf, area)).argmax(1)
        found[:, number] = np.stack([ring[every, ear - 1], ring[every, ear], ring[every, (ear + 1) % size]], 1)
        keep = np.ones(ring.shape, bool)
        keep[every, ear] = False
        ring = ring[keep].reshape(count, size - 1)
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
