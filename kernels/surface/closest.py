"""The nearest point on a triangle mesh for each of many points."""
from __future__ import annotations

import torch

from ..checks import check_shape
from ..ragged import expand

# Mean number of grid cells that a face may lie in, before cells are made larger.
CELLS_PER_FACE = 64


def closest_points(points: torch.Tensor, vertices: torch.Tensor, faces: torch.Tensor, reach: float, *,
                   chunk: int = 1 << 19) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest point of a mesh for each point, within a distance.

    points    [N,3]
    vertices  [V,3]
    faces     [F,3] int64, may have no area
    reach     largest distance that is searched
    chunk     pairs of a point and a face held in memory at once (about 250 bytes each)

    Returns face [N] int64, -1 where nothing is within reach, and weights [N,3] >= 0 of its corners, which sum to 1 (0
    where there is no face). Of equally near faces the lowest. No gradient. A grid of cells that grow until each point
    has found its face: time about O(N + F) for points near the surface. Raises ShapeError naming the argument.
    """
    check_shape("points", points, "N", 3)
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, "F", 3)
    points, corners = points.detach(), vertices.detach()[faces]
    face = faces.new_full((len(points),), -1)
    if len(faces) and len(points):
        low, high = corners.amin((0, 1)), corners.amax((0, 1))
        near = ((points >= low - reach) & (points <= high + reach)).all(1).nonzero().squeeze(1)
        radius = max(float((corners - corners.roll(1, 1)).norm(dim=2).mean()) / 2, 1e-6 * float((high - low).amax()),
                     1e-30)
        while len(near):
            radius, cells = _cells(corners, low, high, min(radius, reach))
            found, distance = _search(points[near], corners, cells, chunk)
            done = distance <= radius                    # else a face of another cell may be nearer
            face[near[done]] = found[done]
            near = near[~done]
            if radius >= reach:
                break
            radius = 4 * radius
    weights = torch.zeros_like(points)
    hit = (face >= 0).nonzero().squeeze(1)
    weights[hit] = barycentric_of_nearest(points[hit], corners[face[hit]])
    return face, weights


def barycentric_of_nearest(points: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """points [N,3] and one triangle [N,3,3] for each -> weights [N,3] of its corners at the place nearest to the point.

    Differentiable. A triangle without area is the segment or point that it has shrunk to.
    """
    edge, towards = corners.roll(-1, 1) - corners, points[:, None] - corners
    # Along the edges: corner i to corner i + 1.
    along = ((edge * towards).sum(2) / edge.square().sum(2).clamp(min=1e-30)).clamp(0, 1)                   # [N,3]
    gap = (towards - along[..., None] * edge).square().sum(2)
    best = gap.argmin(1, keepdim=True)
    share = along.gather(1, best)
    weights = torch.zeros_like(along).scatter(1, best, 1 - share).scatter(1, (best + 1) % 3, share)
    # Inside: the areas opposite to the corners, seen along the normal.
    normal = torch.linalg.cross(edge[:, 0], edge[:, 1])
    area = (torch.linalg.cross(edge, towards) * normal[:, None]).sum(2).roll(-1, 1)
    total = area.sum(1, keepdim=True)
    inside = (area >= 0).all(1, keepdim=True) & (total > 1e-30)
    return torch.where(inside, area / torch.where(inside, total, 1.0), weights)


def _cells(corners: torch.Tensor, low: torch.Tensor, high: torch.Tensor,
           radius: float) -> tuple[float, tuple[torch.Tensor, ...]]:
    """Cells of at least twice the radius, and in which of them the faces, grown by the radius, lie.

    Returns the radius that was used, and the table: keys [P] sorted, faces [P], origin [3], side, counts [3].
    """
    while True:
        origin, side = low - radius, 2 * radius
        counts = ((high + radius - origin) / side).ceil().long().clamp(min=1)
        first = ((corners.amin(1) - radius - origin) / side).floor().long().clamp(min=0)
        last = torch.minimum(((corners.amax(1) + radius - origin) / side).floor().long(), counts - 1)
        extent = (last - first + 1).clamp(min=1)
        total = int(extent.prod(1).sum())
        if total <= CELLS_PER_FACE * len(corners) or bool((counts == 1).all()):
            break
        radius = 2 * radius
    owner, step = next(expand(extent.prod(1), max(total, 1)))
    size = extent[owner]
    place = torch.stack([step // (size[:, 1] * size[:, 2]), step // size[:, 2] % size[:, 1], step % size[:, 2]], 1)
    keys, order = _key(first[owner] + place, counts).sort(stable=True)
    return radius, (keys, owner[order], origin, side, counts)


def _key(cell: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    return (cell[:, 0] * counts[1] + cell[:, 1]) * counts[2] + cell[:, 2]


def _search(points: torch.Tensor, corners: torch.Tensor, cells: tuple[torch.Tensor, ...],
            chunk: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The nearest face [N] that lies in the cell of each point, -1 without one, and its distance [N]."""
    keys, owner, origin, side, counts = cells
    # Points outside the grid look into its nearest cell: what they find there counts only within the radius.
    cell = torch.minimum(((points - origin) / side).floor().long().clamp(min=0), counts - 1)
    begin = torch.searchsorted(keys, key := _key(cell, counts))
    many = torch.searchsorted(keys, key, right=True) - begin
    # A face's middle lies in it: no face is looked at closely whose ball around its middle is farther than some middle.
    middle = corners.mean(1)
    size = (corners - middle[:, None]).norm(dim=2).amax(1) * 1.0001
    nearest = points.new_full((len(points),), torch.inf)
    bound = nearest.clone()
    face = owner.new_full((len(points),), len(corners))
    for point, step in expand(many, chunk):
        candidate = owner[begin[point] + step]
        apart = (points[point] - middle[candidate]).norm(dim=1)
        bound.scatter_reduce_(0, point, apart, "amin")
        close = (apart - size[candidate] <= bound[point] * 1.0001).nonzero().squeeze(1)
        point, candidate = point[close], candidate[close]
        weights = barycentric_of_nearest(points[point], corners[candidate])
        distance = (points[point] - (weights[..., None] * corners[candidate]).sum(1)).norm(dim=1)
        before = nearest[point]
        nearest.scatter_reduce_(0, point, distance, "amin")
        face[point[nearest[point] < before]] = len(corners)
        best = distance == nearest[point]
        face.scatter_reduce_(0, point[best], candidate[best], "amin")
    return torch.where(face < len(corners), face, -1), nearest
