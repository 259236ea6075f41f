"""PBR: metallic-roughness shading under an environment map, with a normal map (Fantasia3D)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.image.color import linear_to_srgb, srgb_to_linear
from ...kernels.shade.environment import Environment, prepare_environment
from ...kernels.shade.split_sum import shade_split_sum
from ..comfy import MATERIAL, Node, io
from ..core.errors import DistillError
from ..core.material import Material
from ..core.rendering import Light
from ..core.rng import Streams
from .color import raw_color
from .studio import studio

MODES = ("albedo", "textureless", "shaded")
# Published ranges of threestudio's material.
METALLIC = (0.0, 0.9)
ROUGHNESS = (0.08, 0.9)


@dataclass(frozen=True)
class PBR:
    """Split-sum shading. Features, each with a sigmoid: albedo (3), metallic, roughness, and bump (3) if it is on.

    environment  panorama [H,W,3] of linear radiance (see kernels.shade.environment), or None: the built-in studio
    strength     multiplies the environment
    bump         whether the last three features tilt the normal
    albedo_fraction  unlit albedo only before this fraction of the run

    Radiance is summed in linear space, converted to sRGB and clipped to [0,1]. Point lights are ignored.
    Source: Chen et al. 2023 (Fantasia3D), section 3.2; Karis 2013; ranges as in threestudio.
    """

    environment: Tensor | None = None
    strength: float = 1.0
    bump: bool = True
    albedo_fraction: float = 0.0

    @property
    def channels(self) -> int:
        return 8 if self.bump else 5

    def build(self) -> "PBRModule":
        return PBRModule(self)


class PBRModule(Material):
    """See PBR. Differentiable in features, normal and direction; has no parameters."""

    def __init__(self, recipe: PBR):
        super().__init__()
        self.recipe, self.channels = recipe, recipe.channels
        panorama = studio() if recipe.environment is None else recipe.environment.detach().clone().float()
        prepared = prepare_environment(panorama * recipe.strength)
        self.register_buffer("irradiance", prepared.irradiance, persistent=False)
        self.register_buffer("reflected", prepared.reflected, persistent=False)

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """features [N,8] or [N,5]; normal and direction [N,3], unused in mode "albedo"."""
        albedo = features[:, :3].sigmoid()
        if mode == "albedo":
            return albedo, albedo
        if normal is None or direction is None:
            raise DistillError(f'PBR: shading "{mode}" needs normals and view directions, which this renderer does not '
                               'provide. Use another renderer or another material.')
        maps = self.textures(features, normal)
        base, metallic = srgb_to_linear(albedo), maps["metallic"]
        if mode == "textureless":
            base, metallic = torch.ones_like(base), torch.zeros_like(metallic)
        light = shade_split_sum(Environment(self.irradiance, self.reflected), base, metallic, maps["roughness"],
                                maps.get("normal", normal), direction)
        return linear_to_srgb(light).clamp(0, 1), albedo

    def textures(self, features: Tensor, normal: Tensor) -> dict[str, Tensor]:
        metallic, roughness = (torch.lerp(*map(features.new_tensor, bounds), features[:, [channel]].sigmoid())
                               for channel, bounds in ((3, METALLIC), (4, ROUGHNESS)))
        found = {"metallic": metallic, "roughness": roughness}
        if self.recipe.bump:
            found["normal"] = tilted(normal, features[:, 5:8].sigmoid())
        return found

    def features_of(self, albedo: Tensor) -> Tensor:
        """Features [...,C] with albedo [...,3] in [0,1], metallic near 0, roughness in the middle of its range, and no
        bumps."""
        rest = albedo.new_zeros(*albedo.shape[:-1], self.channels - 3)
        rest[..., 0] = -4.0
        return torch.cat([raw_color(albedo, "sigmoid"), rest], -1)

    def draw_mode(self, step: int, total: int, streams: Streams) -> str:
        return "albedo" if step < self.recipe.albedo_fraction * total else "shaded"

    def needs_normal(self, mode: str) -> bool:
        return mode != "albedo"

    def needs_light(self, mode: str) -> bool:
        return False


def tilted(normal: Tensor, bump: Tensor) -> Tensor:
    """Unit normals [N,3] tilted by bump [N,3] in [0,1]; 1/2 leaves them unchanged.

    The x of the bump is horizontal, and its y points upwards along the surface. This frame needs no texture
    coordinates. It rotates quickly near normals that point straight up or down, where the horizontal direction is
    undefined.
    """
    up = torch.tensor([0.0, 0, 1]).to(normal)
    pole = normal[:, 2:].abs() > 1 - 1e-5
    along = torch.linalg.cross(up.expand_as(normal), normal)
    along = F.normalize(torch.where(pole, torch.tensor([0.0, 1, 0]).to(normal), along), dim=1)
    x, y, z = (2 * bump - 1).unbind(1)
    upward = torch.linalg.cross(normal, along)
    return F.normalize(x[:, None] * along + y[:, None] * upward + (1 + z.clamp(max=0))[:, None].clamp(min=0.05)
                       * normal, dim=1)


def panorama_of(image: Tensor, rotation: float) -> Tensor:
    """The first of pictures [B,H,W,C] as linear radiance, rotated to the left by `rotation` degrees."""
    if image.ndim != 4 or len(image) == 0 or image.shape[-1] < 3 or not bool(image.isfinite().all()):
        raise DistillError("PBR: the environment must be a picture [B,H,W,3] of finite numbers, got "
                           f"{list(image.shape)}.")
    return srgb_to_linear(image[0, ..., :3].float().clamp(min=0)).roll(-round(rotation / 360 * image.shape[2]), 1)


class PBRNode(Node):
    advanced = ("rotation", "bump", "albedo_fraction")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_PBR", display_name="PBR", category="Distill3D/materials",
            description="Metallic-roughness shading under an environment map, with a normal map (Fantasia3D).",
            search_aliases=["physically based", "metallic", "roughness", "split sum", "environment map", "normal map"],
            inputs=[
                io.Float.Input("strength", default=1.0, min=0.0, max=100.0, step=0.05,
                               tooltip="Brightness of the environment, as a factor."),
                io.Float.Input("rotation", default=0.0, min=-360.0, max=360.0, step=1.0,
                               tooltip="Rotation of the environment around the object, degrees."),
                io.Boolean.Input("bump", default=True, tooltip="Let the material tilt the normals. Exported files "
                                 "store this as a normal map."),
                io.Float.Input("albedo_fraction", default=0.0, min=0.0, max=1.0, step=0.01,
                               tooltip="Unlit albedo only before this fraction of the run."),
                io.Image.Input("environment", optional=True, tooltip="Panorama, twice as wide as high, whose centre is "
                               "in front of the object. Without it: a neutral studio."),
            ],
            outputs=[MATERIAL.Output("material", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, strength=1.0, rotation=0.0, bump=True, albedo_fraction=0.0, environment=None) -> io.NodeOutput:
        panorama = None if environment is None else panorama_of(environment, rotation)
        return io.NodeOutput(PBR(panorama, strength, bump, albedo_fraction))
