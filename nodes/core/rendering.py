"""What a renderer gives back, and the light it is given."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.upload import upload
from .field import Surface

NEARBY = 0.01  # world units, threestudio's


@dataclass(frozen=True)
class Light:
    """One point light per view.

    position  [B,3]  world
    ambient   [B]    0..1
    diffuse   [B]    0..1: colour = albedo * (ambient + diffuse * max(0, n.l))
    """

    position: Tensor
    ambient: Tensor
    diffuse: Tensor

    def to(self, device) -> "Light":
        return Light(*(upload(values, device) for values in (self.position, self.ambient, self.diffuse)))


@dataclass
class Samples:
    """Packed quadrature samples of a volume rendering, for regularisers.

    ray [S] int64 sorted, rays: their number R; t, delta [S]; weights [S]; density [S];
    normal [S,3] unit, or None; direction [S,3] unit, of the ray;
    nearby [S,3] unit normals at random points NEARBY away (the standard deviation along each axis), where asked for;
    gradient [S,3] of the signed distance, where the scene has one
    """

    ray: Tensor
    rays: int
    t: Tensor
    delta: Tensor
    weights: Tensor
    density: Tensor
    normal: Tensor | None
    direction: Tensor
    nearby: Tensor | None = None
    gradient: Tensor | None = None


@dataclass
class Rendering:
    """Images of one batch of cameras; a field is None where it was not asked for. The name "nearby" asks for that part of
    the samples.

    rgb         [B,H,W,3]  in [0,1], display-referred (sRGB-like, as the priors see images), over the background
    opacity     [B,H,W,1]  in [0,1]
    depth       [B,H,W,1]  weight-summed distance along the ray, world units, not divided by opacity
    normal      [B,H,W,3]  world space, weight-summed, length <= 1, no background
    albedo      [B,H,W,3]  like rgb, unlit, no background
    background  [B,H,W,3]  what rgb lies over, alone: the same draw, seen everywhere
    samples     packed samples, volume renderers only
    surface     the triangles themselves, mesh renderers only
    position    [B,H,W,3]  world, times opacity, mesh renderers only
    """

    rgb: Tensor | None = None
    opacity: Tensor | None = None
    depth: Tensor | None = None
    normal: Tensor | None = None
    albedo: Tensor | None = None
    background: Tensor | None = None
    samples: Samples | None = None
    surface: Surface | None = None
    position: Tensor | None = None
