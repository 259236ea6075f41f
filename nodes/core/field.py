"""What fields answer: volumes at points of space, surfaces as triangles."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Sequence

from torch import Tensor, nn

from .rng import Streams


@dataclass
class FieldOutput:
    """density [N] >= 0, 1/length; features [N,C] before the material's activation; normal [N,3] unit or None; of a signed
    distance also sdf [N], negative inside, and with normals its gradient [N,3]."""

    density: Tensor
    features: Tensor
    normal: Tensor | None = None
    sdf: Tensor | None = None
    gradient: Tensor | None = None


class VolumeField(Protocol):
    """A torch module over world points. bounds [2,3]; wants_variance: integrated encodings ask for [N,3] variances."""

    bounds: Tensor
    wants_variance: bool

    def density(self, x: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput: ...

    def update(self, step: int, total: int) -> None: ...

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]: ...


class SignedDistanceField(VolumeField, Protocol):
    """A volume whose surface is where sdf [N], world units, negative inside, is 0. sharpness [] > 0, 1/length: the surface is
    about its inverse thick. Its density is that of kernels.volume.neus.opaque_density."""

    sharpness: Tensor

    def sdf(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Replacement:
    """A parameter that took the place of another of the same group during training, with rows of its own.

    rows  [N] int64: the row of `old` that each row of `new` goes on from, -1 where it begins anew. An optimiser's averages go
          the same way
    """

    new: nn.Parameter
    old: nn.Parameter
    rows: Tensor


@dataclass(frozen=True)
class Splat:
    """N Gaussians as they are seen, right-handed, z up, front = +x, like everything inside the pack.

    positions  [N,3]    world units
    rotations  [N,4]    quaternions wxyz of any length but 0: columns of the rotation are the axes
    scales     [N,3]    > 0: standard deviation along each axis, world units
    opacities  [N,1]    in [0,1]
    sh         [N,K,3]  spherical harmonics of the display-referred colour, K = (degree + 1)^2, degree 0 to 3. Directions are
                        those of the splat frame, so that no band has to be turned on the way in or out
    """

    positions: Tensor
    rotations: Tensor
    scales: Tensor
    opacities: Tensor
    sh: Tensor

    def __len__(self) -> int:
        return len(self.positions)


class GaussianField(VolumeField, Protocol):
    """A torch module of 3D Gaussians. Asked as a volume, it answers with their density, whose surface looks like them."""

    def splat(self) -> Splat:
        """As it is now, differentiable."""

    def watch(self, gradient: Tensor, radii: Tensor) -> None:
        """Called in each backward pass, for densification.

        gradient  [B,N,2] of each view's own loss to the places in its picture, whose width and height are 2 long
        radii     [B,N] pixels, 0 where a Gaussian is not seen
        """

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        """See SurfaceField.update."""


def has_distance(field: nn.Module) -> bool:
    """Whether the field is a SignedDistanceField."""
    return callable(getattr(field, "sdf", None))


@dataclass
class Surface:
    """Triangles at one moment of training, in the pack's world (z up, front = +x).

    vertices  [V,3] world units, differentiable
    faces     [F,3] int64, counter-clockwise seen from outside
    normals   [V,3] unit, for shading
    uv        [U,2] in [0,1] with faces_uv [F,3] int64 into it, or both None
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    uv: Tensor | None = None
    faces_uv: Tensor | None = None


class SurfaceField(Protocol):
    """A torch module that is a triangle mesh with features on it. bounds [2,3]. One that begins as a painted object has
    begin_with(material), called when the scene is built, and asks the material which features show its colours."""

    bounds: Tensor

    def surface(self) -> Surface: ...

    def features(self, position: Tensor, uv: Tensor | None = None, footprint: Tensor | None = None) -> Tensor:
        """Features [N,C] before the material's activation, at points on the surface.

        position   [N,3] world
        uv         [N,2], where the surface has them
        footprint  [N] width of a pixel in units of uv, for filtering, or None
        """

    def update(self, step: int, total: int) -> Sequence[Replacement]:
        """Called before each step. The parameters that took others' places, as in a subdivision; mostly none."""

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]: ...
