"""Signed distance to a closed mesh on a regular grid."""
from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F

from ..checks import check_shape
from .closest import closest_points
from .mesh import vertex_normals

_PAIRS_AT_ONCE = 1 << 24


def distance_grid(vertices: torch.Tensor, faces: torch.Tensor, inside: torch.Tensor,
                  bounds: torch.Tensor) -> torch.Tensor:
    """Signed distance [X,Y,Z], negative inside, at the samples of a grid whose first and last ones lie on bounds [2,3].

    vertices, faces  [V,3], [F,3] int64: a closed mesh; it separates the samples that are inside from the others
    inside           [X,Y,Z] bool, at least 2 samples along each axis. Within half a cell of the mesh, its normals
                     decide instead, because the mesh may have been smoothed since

    Samples up to a cell away use their exact nearest point on the surface. The others use the nearest point of the
    closest of those samples or of a neighbour, which is up to a fraction of a cell too far (Danielsson 1980). Not
    differentiable. O(N^4) for N samples along each axis. Raises ShapeError naming the argument; ValueError where
    nothing separates inside from outside.
    """
    check_shape("vertices", vertices, "V", 3)
    check_shape("faces", faces, "F", 3)
    check_shape("inside", inside, "X", "Y", "Z")
    check_shape("bounds", bounds, 2, 3)
    lines = [torch.linspace(float(low), float(high), size, device=vertices.device, dtype=vertices.dtype)
             for low, high, size in zip(bounds[0], bounds[1], inside.shape)]
    x = torch.stack(torch.meshgrid(*lines, indexing="ij"), -1)
    spacing = [float(line[1] - line[0]) for line in lines]
    beside = _beside_surface(inside).flatten().nonzero().squeeze(1)
    face, weights = closest_points(x.view(-1, 3)[beside], vertices, faces, 3 * max(spacing))
    hit = face >= 0
    if not bool(hit.any()):
        raise ValueError("no sample of the grid lies beside the mesh")
    beside, corners, weights = beside[hit], faces[face[hit]], weights[hit, :, None]
    place = torch.zeros_like(x).view(-1, 3)
    place[beside] = (weights * vertices.detach()[corners]).sum(1)
    outwards = (weights * vertex_normals(vertices.detach(), faces)[corners]).sum(1)
    sign = torch.where(inside, -1.0, 1.0).to(x).flatten()
    away = x.view(-1, 3)[beside] - place[beside]
    close = away.norm(dim=1) < 0.5 * min(spacing)
    sign[beside[close]] = torch.where((away * outwards).sum(1)[close] < 0, -1.0, 1.0).to(x)
    seeds = torch.zeros(inside.numel(), dtype=torch.bool, device=inside.device)
    seeds[beside] = True
    place = place[_nearest(seeds.view(inside.shape), spacing)]
    distance = (x - place).norm(dim=-1)
    for axis, shift in product(range(3), (1, -1)):
        # What a neighbour found may be nearer; what comes around from the other side of the grid is a place as well.
        other = place.roll(shift, axis)
        apart = (x - other).norm(dim=-1)
        place, distance = torch.where((apart < distance)[..., None], other, place), torch.minimum(apart, distance)
    return distance * sign.view(inside.shape)


def _beside_surface(inside: torch.Tensor) -> torch.Tensor:
    """[X,Y,Z] bool: samples with a neighbour along an axis that is on the other side, and all around those."""
    beside = torch.zeros_like(inside)
    for axis, size in enumerate(inside.shape):
        differs = inside.narrow(axis, 0, size - 1) ^ inside.narrow(axis, 1, size - 1)
        for start in (0, 1):
            beside.narrow(axis, start, size - 1).logical_or_(differs)
    return F.max_pool3d(beside[None].float(), 3, stride=1, padding=1)[0] > 0


def _nearest(seeds: torch.Tensor, spacing: Sequence[float]) -> torch.Tensor:
    """[X,Y,Z] int64: the flat index of the sample in seeds [X,Y,Z] bool, not empty, that each is nearest to."""
    cost = torch.where(seeds, 0.0, torch.inf)
    index = torch.arange(seeds.numel(), device=seeds.device).view(seeds.shape)
    for axis, step in enumerate(spacing):
        cost, index = cost.movedim(axis, -1), index.movedim(axis, -1)
        shape, size = cost.shape, cost.shape[-1]
        line = step * torch.arange(size, device=seeds.device)
        gap = (line[:, None] - line).square()
        rows = cost.reshape(-1, size).split(max(1, _PAIRS_AT_ONCE // size**2))
        best = [(row[:, None] + gap).min(-1) for row in rows]
        cost = torch.cat([found.values for found in best]).view(shape).movedim(-1, axis)
        index = index.gather(-1, torch.cat([found.indices for found in best]).view(shape)).movedim(-1, axis)
    return index
