"""A UV atlas for any mesh in linear time: each chart is projected along the axis that it faces most."""
from __future__ import annotations

import torch

from ..checks import check_shape
from ..surface.components import connected
from ..surface.mesh import face_cross, unique_edges


def box_atlas(vertices: torch.Tensor, faces: torch.Tensor,
              gap: float = 0.004) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Unwraps a mesh by box projection.

    vertices  [V,3]
    faces     [F,3] int64, joined vertices: charts do not cross places where vertices are doubled
    gap       wanted distance between charts, in UV units; smaller where there are too many charts for it

    Returns uv [V',2] in [0,1], faces_uv [F,3] int64 in the order of faces, and source [V'] int64, the vertex that each
    UV belongs to. Neighbouring faces that look along the same of the six axis directions share a chart, and one scale
    serves all charts. A face's area in the atlas is between 1/sqrt(3) and 1 of its true area. A chart that winds over
    itself, like a spiral stair, overlaps itself; others do not. No gradient. O(F) plus a Python loop over charts.
    Raises ShapeError naming the argument.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, "F", 3)
    if len(faces) == 0:
        return vertices.new_zeros(0, 2), faces, faces.new_zeros(0)
    vertices = vertices.detach()
    chart, direction = _charts(vertices, faces)
    flat = _project(vertices[faces], direction)                                           # [F,3,2]

    count = int(chart.max()) + 1
    index = chart[:, None, None].expand(-1, 3, 2).reshape(-1, 2)
    low = flat.new_full((count, 2), torch.inf).scatter_reduce(0, index, flat.view(-1, 2), "amin")
    high = flat.new_full((count, 2), -torch.inf).scatter_reduce(0, index, flat.view(-1, 2), "amax")
    size = high - low
    # Charts lie on their longer side, which wastes less of a shelf. A quarter turn, (x, y) -> (y, -x), mirrors nothing.
    stands = size[:, :1] < size[:, 1:]
    size = torch.where(stands, size.flip(1), size)
    low = torch.where(stands, torch.stack([low[:, 1], -high[:, 0]], 1), low)
    flat = torch.where(stands[chart][:, None], torch.stack([flat[..., 1], -flat[..., 0]], -1), flat)
    place, side, margin = _pack(size, gap)
    flat = (flat - (low - place - margin / 2)[chart][:, None]) / side

    keys, faces_uv = torch.unique(chart[:, None] * len(vertices) + faces, return_inverse=True)
    uv = flat.new_zeros(len(keys), 2).index_copy(0, faces_uv.flatten(), flat.view(-1, 2))
    return uv.clamp(0, 1), faces_uv, keys % len(vertices)


def _charts(vertices: torch.Tensor, faces: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Chart and direction (0..5: axis * 2 + is negative) of each face, [F] int64 each."""
    normal = face_cross(vertices, faces)
    axis = normal.abs().argmax(1)
    direction = axis * 2 + (normal.gather(1, axis[:, None]).squeeze(1) < 0)
    edge = unique_edges(faces)[1].flatten()
    order = edge.argsort(stable=True)
    face = order // 3
    joined = (edge[order][1:] == edge[order][:-1]) & (direction[face[1:]] == direction[face[:-1]])
    return connected(torch.stack([face[:-1][joined], face[1:][joined]], 1), len(faces)), direction


def _project(corners: torch.Tensor, direction: torch.Tensor) -> torch.Tensor:
    """corners [F,3,3] seen along the direction of each face [F] -> [F,3,2], turned the same way round for all."""
    axis = direction // 2
    pair = torch.tensor([[1, 2], [2, 0], [0, 1]], device=axis.device)[axis]               # right-handed with the axis
    pair = torch.where((direction % 2 == 1)[:, None], pair.flip(1), pair)
    return corners.gather(2, pair[:, None].expand(-1, 3, -1))


def _pack(size: torch.Tensor, gap: float) -> tuple[torch.Tensor, float, float]:
    """Shelves of charts of size [K,2] in the smallest square: lower corners [K,2], side of the square, margin."""
    order = size[:, 1].argsort(descending=True, stable=True).tolist()
    boxes = size.tolist()
    widest, area = max(max(box) for box in boxes), sum(w * h for w, h in boxes)
    while True:
        low, high = max(area ** 0.5, widest, 1e-12), 8 * max(area ** 0.5, widest, 1e-12)
        if _shelves(boxes, order, high, gap * high) is not None:
            break
        gap /= 2
    for _ in range(14):
        middle = (low * high) ** 0.5
        low, high = (low, middle) if _shelves(boxes, order, middle, gap * middle) is not None else (middle, high)
    return size.new_tensor(_shelves(boxes, order, high, gap * high)), high, gap * high


def _shelves(boxes: list[list[float]], order: list[int], side: float, margin: float) -> list[list[float]] | None:
    """Lower corners of the boxes, placed row by row from the highest on; None when the square is too small."""
    places = [[0.0, 0.0]] * len(boxes)
    x = y = shelf = 0.0
    for chart in order:
        width, height = boxes[chart][0] + margin, boxes[chart][1] + margin
        if x + width > side:
            x, y, shelf = 0.0, y + shelf, 0.0
        if x + width > side or y + height > side:
            return None
        places[chart] = [x, y]
        x, shelf = x + width, max(shelf, height)
    return places
