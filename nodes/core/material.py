"""Materials (colours or latents of points, and the textures of glTF) and backgrounds."""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from .rendering import Light
from .rng import Streams


class Material(nn.Module):
    """Base of all materials.

    channels      number of features that it needs from the field
    channels_out  C, channels of its renderings: 3 for colours
    is_color      whether they are display-referred colours in [0,1]; latents are not
    groups    every name that `parameter_groups` can have, for the tooltip of the node
    """

    channels: int
    channels_out: int = 3
    is_color: ClassVar[bool] = True
    groups: ClassVar[tuple[str, ...]] = ()

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Colour and albedo, [N,C] each. A light has one row for each point; direction [N,3] is that of the view. Mode
        "albedo" needs neither."""
        raise NotImplementedError

    def features_of(self, albedo: Tensor) -> Tensor:
        """Features [...,channels] that show albedo [...,3] in [0,1], for fields that begin as a painted object."""
        raise NotImplementedError

    def textures(self, features: Tensor, normal: Tensor) -> dict[str, Tensor]:
        """What a GLB stores of these points besides the albedo, from features [N,C] and unit world normals [N,3].
        Nothing: the material is matt and keeps the normals of the surface.

        metallic   [N,1] in [0,1]
        roughness  [N,1] in [0,1], glTF's perceptual one
        normal     [N,3] unit, world space, the bump applied; left out by materials without bumps
        """
        return {}

    def draw_mode(self, step: int, total: int, streams: Streams) -> str:
        """The mode of a step of training."""
        raise NotImplementedError

    def needs_normal(self, mode: str) -> bool:
        raise NotImplementedError

    def needs_light(self, mode: str) -> bool:
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {}


class Background(nn.Module):
    """Base of all backgrounds. Their recipes have build(channels), the C of the scene's material.

    groups  every name that `parameter_groups` can have, for the tooltip of the node
    """

    groups: ClassVar[tuple[str, ...]] = ()

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        """Colours [B,H,W,C] of unit directions [B,H,W,3]. streams: of a step of training, for random backgrounds; None:
        a still picture."""
        raise NotImplementedError

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {}


def own_features(albedo: Tensor) -> Tensor:
    """Features [...,3] that an OwnColor shows as albedo [...,3]; where a sigmoid would need infinite numbers,
    nearly."""
    return albedo.clamp(0.01, 0.99).logit()


@dataclass(frozen=True)
class OwnColor:
    """Recipe of the material of fields that hold their colours themselves, such as Gaussians. Their features are the
    albedo's logits, as materials have them by default: what inherits them shows the same colours with any of these."""

    channels = 3

    def build(self) -> "OwnColorModule":
        return OwnColorModule()


class OwnColorModule(Material):
    """A Material without parameters: neither light nor direction change what a point shows."""

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
