"""The output of renderers, and the light that they take."""
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
    """Packed quadrature samples of a volume rendering: S samples on R rays. Regularisers read them.

    ray        [S]    int64, sorted: the ray of each sample
    rays       number of rays R
    t, delta   [S]    distance along the ray, and length of the segment
    weights    [S]    of volume rendering, in [0,1]
    density    [S]    >= 0, 1/length
    normal     [S,3]  unit, or None
    direction  [S,3]  unit, of the ray
    nearby     [S,3]  unit normals at points shifted by a random N(0, NEARBY^2) along each axis, or None
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
    """Images of one batch of cameras. Fields that were not requested are None; "nearby" requests that field of the
    samples.

    rgb         [B,H,W,C]  C channels of the scene's material, over the background. Colours (C = 3) are in [0,1] and
                display-referred (sRGB-like), as priors expect images
    opacity     [B,H,W,1]  in [0,1]
    depth       [B,H,W,1]  weight-summed distance along the ray, world units, not divided by opacity
    normal      [B,H,W,3]  world space, weight-summed, length <= 1, no background
    albedo      [B,H,W,C]  like rgb, unlit, no background
    background  [B,H,W,C]  the background of rgb, also behind the object
    samples     packed samples; volume renderers only
    surface     the triangles; mesh renderers only
    position    [B,H,W,3]  world, times opacity; mesh renderers only
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
    """A rendering [...,C] as displayable colours [...,3] in [0,1].

    For channels that are not colours: the first three, with -3 .. 3 mapped to 0 .. 1 because latents have a standard
    deviation of about 1. If there are fewer than three, the last one is repeated.
    """
    if is_color:
        return image.clamp(0, 1)
    index = [min(channel, image.shape[-1] - 1) for channel in range(3)]
    return (image[..., index] / 6 + 0.5).clamp(0, 1)
