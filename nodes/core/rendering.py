"""What a renderer gives back, and the light it is given."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.upload import upload
from .field import Surface

NEARBY = 0.01  # world units, as in threestudio


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
    """Packed quadrature samples of a volume rendering, for regularisers: S samples on R rays.

    ray        [S]    int64, sorted: the ray of each sample
    rays       number of rays R
    t, delta   [S]    distance along the ray, and length of the segment
    weights    [S]    of the rendering
    density    [S]    >= 0, 1/length
    normal     [S,3]  unit, or None
    direction  [S,3]  unit, of the ray
    nearby     [S,3]  unit normals at random points, NEARBY away (standard deviation along each axis), or None
    gradient   [S,3]  of the signed distance, or None
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
    """Images of one batch of cameras; fields that were not asked for are None. The name "nearby" asks for that
    part of the samples.

    rgb         [B,H,W,C]  C channels of the scene's material. Colours (C = 3) are in [0,1], display-referred
                (sRGB-like, as the priors see images), over the background
    opacity     [B,H,W,1]  in [0,1]
    depth       [B,H,W,1]  weight-summed distance along the ray, world units, not divided by opacity
    normal      [B,H,W,3]  world space, weight-summed, length <= 1, no background
    albedo      [B,H,W,C]  like rgb, unlit, no background
    background  [B,H,W,C]  the background of rgb, also where the scene covers it
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


def displayed(image: Tensor, is_color: bool = True) -> Tensor:
    """A rendering [...,C] as colours [...,3] in [0,1] that can be looked at. Of what is no colour the first three
    channels (the last one repeated where there are fewer), with -3 .. 3 shown as 0 .. 1: latents have a standard
    deviation of about 1."""
    if is_color:
        return image.clamp(0, 1)
    index = [min(channel, image.shape[-1] - 1) for channel in range(3)]
    return (image[..., index] / 6 + 0.5).clamp(0, 1)
