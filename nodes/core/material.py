"""Interfaces of materials (colours or latents at points, and glTF textures) and of backgrounds."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from .rendering import Light
from .rng import Streams


class Material(nn.Module):
    """Base of all materials.

    channels      number of features that the material reads from the field
    channels_out  C, channels of its renderings: 3 for colours
    is_color      whether its renderings are display-referred colours in [0,1]; latents are not
    groups        every key that `parameter_groups` can return, for the tooltip of the node
    """

    channels: int
    channels_out: int = 3
    is_color: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = ()

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Colour and albedo [N,C] at N points, differentiable in features and normal.

        features   [N,channels] before activation
        normal     [N,3] unit; None if `needs_normal(mode)` is False
        position   [N,3] world
        light      with one row for each point; None if `needs_light(mode)` is False
        mode       "albedo", "shaded" or "textureless"
        direction  [N,3] unit, from the camera to the point; unused in mode "albedo"
        """
        raise NotImplementedError

    def features_of(self, albedo: Tensor) -> Tensor:
        """Features [...,channels] that give albedo [...,3] in [0,1], for fields that start from a coloured object."""
        raise NotImplementedError

    def textures(self, features: Tensor, normal: Tensor) -> dict[str, Tensor]:
        """Values for the textures of a GLB besides the albedo, from features [N,C] and unit world normals [N,3].

        An empty result means a rough dielectric with the normals of the surface. Otherwise

        metallic   [N,1] in [0,1]
        roughness  [N,1] in [0,1], the perceptual roughness of glTF
        normal     [N,3] unit, world space, with the bump applied; absent for materials without bumps
        """
        return {}

    def draw_mode(self, step: int, total: int, streams: Streams) -> str:
        """Draws the shading mode of a training step: "albedo", "shaded" or "textureless"."""
        raise NotImplementedError

    def needs_normal(self, mode: str) -> bool:
        raise NotImplementedError

    def needs_light(self, mode: str) -> bool:
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {}


class Background(nn.Module):
    """Base of all backgrounds. Their recipes have build(channels), with the C of the scene's material.

    groups  every key that `parameter_groups` can return, for the tooltip of the node
    """

    groups: ClassVar[tuple[str, ...]] = ()

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        """Colours [B,H,W,C] for unit view directions [B,H,W,3].

        streams  random streams of a training step; None for a still picture, which is repeatable
        """
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {}


def own_features(albedo: Tensor) -> Tensor:
    """Features [...,3] that OwnColor shows as albedo [...,3], which is clamped to 0.01 .. 0.99 to keep logits
    finite."""
    return albedo.clamp(0.01, 0.99).logit()


@dataclass(frozen=True)
class OwnColor:
    """Recipe of the material for fields that store colours themselves, such as Gaussians.

    Features are logits of the albedo, as in other materials by default. A field that inherits the features therefore
    shows the same colours with any of these materials.
    """

    channels = 3

    def build(self) -> "OwnColorModule":
        return OwnColorModule()


class OwnColorModule(Material):
    """A Material without parameters. The colour of a point is its albedo, whatever the light and view direction."""

    channels = 3

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        albedo = features.sigmoid()
        return albedo, albedo

    def features_of(self, albedo: Tensor) -> Tensor:
        return own_features(albedo)

    def draw_mode(self, step: int, total: int, streams: Streams) -> str:
        return "albedo"

    def needs_normal(self, mode: str) -> bool:
        return False

    def needs_light(self, mode: str) -> bool:
        return False
