"""Coverage of pixels at silhouettes, and with it the gradient of a picture with respect to its silhouettes.

Edge-centric: silhouette edges are found on the mesh and walked through the pixels they cross. The usual form starts
from each pixel's own triangle (Laine et al. 2020, section 3.6) and misses every edge whose triangle owns no pixel
centre, which is most of them on dense meshes.
"""
from __future__ import annotations

from dataclasses import dataclass

import torch

from ..checks import check_shape
from ..ragged import expand
from ..surface.mesh import unique_edges

# An edge is hidden where the pixel beside it shows something nearer by more than this share of its distance.
NEARER = 1e-3


@dataclass(frozen=True)
class EdgeFaces:
    """Edges of a mesh and the faces around them; depends on faces alone, so one serves every view and step.

    edges       [E,2] int64, low < high
    face_edges  [F,3] int64: edges of each face, in the order (v0,v1), (v1,v2), (v2,v0)
    forward     [F,3] bool: whether the face runs through that edge from low to high
    """

    edges: torch.Tensor
    face_edges: torch.Tensor
    forward: torch.Tensor

    @classmethod
    def of(cls, faces: torch.Tensor) -> "EdgeFaces":
        return cls(*unique_edges(faces), faces < faces.roll(-1, 1))


def antialias(color: torch.Tensor, rast: torch.Tensor, positions: torch.Tensor, faces: torch.Tensor,
              edge_faces: EdgeFaces | None = None) -> torch.Tensor:
    """Blends the pixels on both sides of each visible silhouette by how much of them the surface covers.

    color       [B,H,W,C], one value per pixel as seen at its centre
    rast        [B,H,W,4] from `rasterize`
    positions   [B,V,4] clip space, the ones that were rasterised
    faces       [F,3] int64
    edge_faces  EdgeFaces.of(faces), computed once for a mesh that is drawn often

    An edge is a silhouette where all its faces lie on one side of it on screen: outlines, folds in front of the object
    itself, borders of open meshes, edges of any number of faces. Between two neighbouring pixel centres only the
    outermost edge counts. Each pixel is a convex mix of itself and its four neighbours.

    Returns [B,H,W,C]. Differentiable in color and, through the place of the edges, in positions: d(sum of a picture)
    is that of the exact picture to about a tenth. Edges that reach behind the camera are skipped. Memory O(edges),
    kept for the backward pass only O(crossed pixels), a view at a time.
    Raises ShapeError naming the argument.
    """
    views, height, width, _ = rast.shape
    check_shape("color", color, views, height, width, "C")
    check_shape("rast", rast, views, height, width, 4)
    check_shape("positions", positions, views, "V", 4)
    check_shape("faces", faces, "F", 3)
    if len(faces) == 0 or views == 0:
        return color
    edge_faces = edge_faces or EdgeFaces.of(faces)
    return torch.stack([_one_view(*one, faces, edge_faces) for one in zip(color, rast, positions)])


def _one_view(color, rast, positions, faces, edge_faces) -> torch.Tensor:
    """color [H,W,C], rast [H,W,4], positions [V,4] -> [H,W,C]."""
    height, width, channels = color.shape
    with torch.no_grad():
        edge, side = _silhouettes(positions, faces, edge_faces)
    ends = positions.index_select(0, edge_faces.edges[edge].flatten()).view(-1, 2, 4)
    # Pixel centres at whole numbers, rows growing downwards.
    x = ((ends[..., 0] / ends[..., 3] + 1) * width - 1) / 2
    y = ((1 - ends[..., 1] / ends[..., 3]) * height - 1) / 2
    steep = (x[:, 1] - x[:, 0]).abs() <= (y[:, 1] - y[:, 0]).abs()
    shown = rast.detach().reshape(-1, 4)
    found = []
    for chosen, along, across, sign, lines, size, strides in ((steep, y, x, 1, height, width, (width, 1)),
                                                              (~steep, x, y, -1, width, height, (1, width))):
        at = chosen.nonzero().squeeze(1)
        crossings = _walk(along[at], across[at], ends.detach()[at, :, 3], sign * side[at], lines, size, strides)
        found.append(_visible(crossings, shown, positions, faces))
    inner, outer, covered = (torch.cat(column) for column in zip(*found))
    return _blend(color.reshape(-1, channels), inner, outer, covered).view_as(color)


def _silhouettes(positions, faces, edge_faces) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices [K] of silhouette edges in front of the camera, and side [K]: +1 where the faces lie to the left of the
    way from the lower to the higher vertex (y up), -1 to the right."""
    a, b, c = positions.double()[faces][..., [0, 1, 3]].unbind(1) if positions.device.type != "mps" else \
        positions[faces][..., [0, 1, 3]].unbind(1)
    turn = (a * torch.linalg.cross(b, c)).sum(1).sign()[:, None]
    left = torch.where(edge_faces.forward, turn, -turn).flatten()
    sides = torch.zeros(2, len(edge_faces.edges), dtype=torch.bool, device=faces.device)
    around = edge_faces.face_edges.flatten()
    sides[0, around[left > 0]] = True
    sides[1, around[left < 0]] = True
    ahead = (positions[:, 3] > 0) & (positions[:, 2] >= -positions[:, 3]) & positions.isfinite().all(1)
    found = ((sides[0] != sides[1]) & ahead[edge_faces.edges].all(1)).nonzero().squeeze(1)
    return found, torch.where(sides[0, found], 1, -1)


@dataclass
class _Crossings:
    """Where edges pass between two pixel centres, for K of them.

    inner, outer  [K] int64: flat index of the pixel on the side of the surface, and of the one beyond the edge
    covered       [K] in [-1/2,1/2]: share of the outer pixel that the surface reaches, negative: of the inner one that
                  it leaves free. Differentiable
    w             [K] distance of the edge along the view direction
    """

    inner: torch.Tensor
    outer: torch.Tensor
    covered: torch.Tensor
    w: torch.Tensor

    def take(self, index: torch.Tensor) -> "_Crossings":
        return _Crossings(self.inner[index], self.outer[index], self.covered[index], self.w[index])


def _walk(along, across, w, side, lines, size, strides) -> _Crossings:
    """Crossings of edges with lines of pixel centres: along, across [K,2] pixels, on the axes across the lines and
    along them; lines of them, each of `size` pixels; strides of both in a flat index."""
    low, high = along.detach().amin(1), along.detach().amax(1)
    # Half open, so that a line through a vertex meets one of the two edges of an outline there.
    first, last = (end.ceil().clamp(0, lines).long() for end in (low, high))
    owner, step = _all(last - first)
    line = first[owner] + step
    start, end = along[owner].unbind(1)
    share = (line - start) / (end - start)
    place = torch.lerp(*across[owner].unbind(1), share)
    before = place.detach().floor().clamp(-1, size).long()
    inside = ((before >= 0) & (before < size - 1)).nonzero().squeeze(1)
    owner, line, place, before, share = (owner[inside], line[inside], place[inside], before[inside],
                                         share.detach()[inside])
    is_first_inner = (side[owner] > 0) == (along.detach()[owner, 1] < along.detach()[owner, 0])
    reach = place - before - 0.5
    one = line * strides[0] + before * strides[1]
    two = one + strides[1]
    return _Crossings(torch.where(is_first_inner, one, two), torch.where(is_first_inner, two, one),
                      torch.where(is_first_inner, reach, -reach), 1 / torch.lerp(*(1 / w[owner]).unbind(1), share))


def _all(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pieces = list(expand(counts, 1 << 62))
    return pieces[0] if pieces else (counts[:0], counts[:0])


def _visible(crossings: _Crossings, shown: torch.Tensor, positions, faces) -> tuple[torch.Tensor, ...]:
    """inner, outer, covered of the crossings that are seen, the outermost of each pair.

    shown  [H*W,4] of `rasterize`
    """
    here, beyond = (_distance(shown[pixel], positions, faces) for pixel in (crossings.inner, crossings.outer))
    is_behind = crossings.w * (1 - NEARER) > beyond
    # A strip of surface that is thinner than a pixel: what its inner pixel shows lies on the far side of the strip.
    is_strip = here.isinf() | (here > (0.5 * (crossings.w + beyond)).clamp(min=crossings.w * (1 + NEARER)))
    crossings = crossings.take((~is_behind & ~is_strip).nonzero().squeeze(1))
    pair = crossings.inner * len(shown) + crossings.outer
    order = crossings.covered.detach().argsort(stable=True)
    order = order[pair[order].argsort(stable=True)]
    last = torch.ones_like(order, dtype=torch.bool)
    last[:-1] = pair[order][1:] != pair[order][:-1]
    crossings = crossings.take(order[last])
    return crossings.inner, crossings.outer, crossings.covered


def _distance(shown: torch.Tensor, positions, faces) -> torch.Tensor:
    """shown [K,4] of `rasterize` -> distance [K] along the view direction, infinite where nothing is seen."""
    u, v, _, face = shown.unbind(1)
    corner_w = positions.detach()[faces[(face.round().long() - 1).clamp(min=0)], 3]
    w = (torch.stack([u, v, 1 - u - v], 1) * corner_w).sum(1)
    return torch.where(face == 0, torch.inf, w)


def _blend(color: torch.Tensor, inner: torch.Tensor, outer: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """color [N,C] with a share of the pixel on the other side of the edge, for crossings inner, outer, covered [K]."""
    spills = covered.detach() > 0
    target, source = torch.where(spills, outer, inner), torch.where(spills, inner, outer)
    share = covered.abs().to(color.dtype)
    # A pixel between edges on several sides must not become more than whole.
    total = color.new_zeros(len(color)).index_add(0, target, share)
    share = share / total[target].clamp(min=1)
    return color.index_add(0, target, share[:, None] * (color[source] - color[target]))
