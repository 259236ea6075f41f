"""Interfaces of fields: volumes are evaluated at points, surfaces return triangles, Gaussians return a splat.

A FIELD wire carries a recipe; recipe.build(channels=C) gives a Field with C features for the material.

Symbols: N points, V vertices, F faces, C channels, K harmonics. World: right-handed, z up, front = +x.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Mapping, Sequence

from torch import Tensor, nn

from .rng import Streams


@dataclass(frozen=True)
class Replacement:
    """A parameter replaced during training by one of the same group with another number of rows.

    rows  [N] int64: the row of `old` that each row of `new` continues, or -1 for a new row. The moments of the
          optimiser are moved in the same way
    """

    new: nn.Parameter
    old: nn.Parameter
    rows: Tensor


class Field(nn.Module):
    """Base of all fields. Its flags say which interface a field has.

    bounds        [2,3] lowest and highest corner of the field's box, world units; the field is empty outside
    is_volume     has density and features at points (VolumeField)
    has_distance  is a volume with a signed distance (SignedDistanceField)
    is_gaussian   is a cloud of Gaussians (GaussianField)
    is_surface    is a mesh of triangles (SurfaceField)
    groups        every key that `parameter_groups` can return, for the tooltip of the node
    """

    bounds: Tensor
    is_volume: ClassVar[bool] = False
    has_distance: ClassVar[bool] = False
    is_gaussian: ClassVar[bool] = False
    is_surface: ClassVar[bool] = False
    groups: ClassVar[tuple[str, ...]] = ()

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        """Every trainable parameter once, by the group under which Optimizer Settings gives it a learning rate."""
        raise NotImplementedError

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        """Called before each training step, for active levels, densification and subdivision. Returns the parameters
        that it replaced, usually none."""
        return ()

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        """Resizes the tensors of this field to those of a saved state with the same names.

        Only fields whose tensors change size in training override it. Their parameters may be new objects afterwards.
        """

    def begin_with(self, material: nn.Module) -> None:
        """Called once when a scene is built from its recipe. A field that starts from a coloured object calls
        `material.features_of` here to set the features that show its colours."""

    def color_grid(self):
        """A recipe of a feature grid with this field's colours, for a new field. None if the colours are not stored in
        a grid."""
        return None


@dataclass
class FieldOutput:
    """The output of a volume at N points.

    density   [N] >= 0, 1/length
    features  [N,C] before the material's activation
    normal    [N,3] unit, or None
    sdf       [N] world units, negative inside; None for fields without a signed distance
    gradient  [N,3] of the signed distance, if normals were requested; otherwise None
    """

    density: Tensor
    features: Tensor
    normal: Tensor | None = None
    sdf: Tensor | None = None
    gradient: Tensor | None = None


class VolumeField(Field):
    """Density and features at world points.

    wants_variance  whether forward uses the variance [N,3] of each point (integrated encodings)
    """

    is_volume = True
    wants_variance: bool = False

    def density(self, x: Tensor) -> Tensor:
        """[N] >= 0, 1/length, at x [N,3]."""
        raise NotImplementedError

    def forward(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput:
        raise NotImplementedError


class SignedDistanceField(VolumeField):
    """A volume whose surface is the zero level set of a signed distance. Its density is
    kernels.volume.neus.opaque_density.

    sharpness  [] > 0, 1/length: the surface is about 1 / sharpness thick
    """

    has_distance = True
    sharpness: Tensor

    def sdf(self, x: Tensor) -> Tensor:
        """[N] world units, negative inside, at x [N,3]."""
        raise NotImplementedError


@dataclass(frozen=True)
class Splat:
    """N Gaussians with their activations applied.

    positions  [N,3]    world units
    rotations  [N,4]    quaternions wxyz of any length but 0; the columns of the rotation matrix are the axes
    scales     [N,3]    > 0: standard deviation along each axis, world units
    opacities  [N,1]    in [0,1]
    sh         [N,K,3]  spherical harmonics of the display-referred colour, K = (degree + 1)^2, degree 0 to 3.
                        Directions are in the frame of splat files, so that reading and writing rotates no band
    """

    positions: Tensor
    rotations: Tensor
    scales: Tensor
    opacities: Tensor
    sh: Tensor

    def __len__(self) -> int:
        return len(self.positions)


class GaussianField(VolumeField):
    """3D Gaussians. As a volume, its density has a surface that looks like the Gaussians.

    radius  of a ball around the origin that contains all visible Gaussians, world units
    """

    is_gaussian = True
    radius: float

    def splat(self) -> Splat:
        """The current Gaussians, differentiable in the parameters."""
        raise NotImplementedError

    def watch(self, gradient: Tensor, radii: Tensor) -> None:
        """Called in each backward pass, for densification.

        gradient  [B,N,2] of each view's loss with respect to the projected centres, in units of half an image
        radii     [B,N] projected radii in pixels, 0 for a Gaussian that is not visible
        """


@dataclass
class Surface:
    """Triangles at one training step.

    vertices  [V,3] world units, differentiable
    faces     [F,3] int64, counter-clockwise seen from outside
    normals   [V,3] unit shading normals
    uv        [U,2] in [0,1] with faces_uv [F,3] int64 into it, or both None
    """

    vertices: Tensor
    faces: Tensor
    normals: Tensor
    uv: Tensor | None = None
    faces_uv: Tensor | None = None


class SurfaceField(Field):
    """A triangle mesh with features on it."""

    is_surface = True

    def surface(self) -> Surface:
        """The current triangles, differentiable in the parameters."""
        raise NotImplementedError

    def features(self, position: Tensor, uv: Tensor | None = None, footprint: Tensor | None = None) -> Tensor:
        """Features [N,C] before the material's activation, at points on the surface.

        position   [N,3] world
        uv         [N,2], if the surface has them
        footprint  [N] width of a pixel in units of uv, for filtering, or None
        """
        raise NotImplementedError


def groups_text(groups: Sequence[str]) -> str:
    """The sentence that ends the tooltip of a node: the parameter groups to which Optimizer Settings can give rates."""
    return f"Groups for Optimizer Settings: {', '.join(groups)}." if groups else ""
