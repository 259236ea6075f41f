"""Aliased pictures of coloured triangles, and finite differences of a weighted sum of their pixels."""
import math

import torch

from distill3d.kernels.lens import to_clip
from distill3d.kernels.raster.antialias import antialias
from distill3d.kernels.raster.interpolate import interpolate
from distill3d.kernels.raster.rasterize import rasterize

FOVY = 40.0


def camera(azimuth=0.4, elevation=0.3, distance=3.0):
    """c2w [1,4,4] looking at the origin, float64."""
    from distill3d.nodes.core.cameras import orbit
    return orbit(azimuth, elevation, distance, math.radians(FOVY), 1, 1).c2w.double()


def draw(vertices, faces, color, size, c2w, factor=1, soft=False):
    """[size,size] of one number per vertex, color [V], on 0; the mean of factor x factor samples, or antialiased."""
    clip = to_clip(vertices, c2w.to(vertices), torch.tensor([math.radians(FOVY)]).to(vertices), size, size)
    rast = rasterize(clip, faces, (size * factor, size * factor))
    seen = interpolate(color[:, None].to(vertices), rast, faces)
    if soft:
        seen = antialias(seen, rast, clip, faces)
    return seen.view(size, factor, size, factor).mean((1, 3))


def weighed(picture):
    """A sum with weights that differ from place to place, so that no motion is without effect."""
    size = len(picture)
    line = (torch.arange(size, dtype=picture.dtype) + 0.5) / size
    return (picture * (1 + 2 * line + (3 * line[:, None]).sin())).sum()


def slopes(vertices, faces, color, size, motions, c2w=None, factor=4, step=0.02):
    """For each motion [V,3]: the slope that backpropagation finds, that of hard pictures, and the sum of the absolute
    shares of the vertices in the first, as three tensors [M]: opposite sides of an object may cancel each other."""
    c2w = camera() if c2w is None else c2w
    leaf = vertices.clone().requires_grad_()
    weighed(draw(leaf, faces, color, size, c2w, soft=True)).backward()
    shares = torch.stack([(leaf.grad * motion).sum(1) for motion in motions])
    ends = [[weighed(draw(vertices + sign * step * motion, faces, color, size, c2w, factor)) for sign in (1, -1)]
            for motion in motions]
    return shares.sum(1), torch.stack([(one - two) / (2 * step) for one, two in ends]), shares.abs().sum(1)


def motions_of(vertices):
    """Growing, and moving along each axis of the picture, as seen by `camera()`."""
    axes = camera()[0, :3, :2].T
    return [vertices, *(axis.expand_as(vertices) for axis in axes)]
