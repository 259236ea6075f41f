"""Lambertian: diffuse shading under a point light. Some steps shade a white object, so that geometry must explain the
image (DreamFusion)."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..comfy import MATERIAL, Node, io
from ..core.errors import DistillError
from ..core.material import Material
from ..core.rendering import Light
from ..core.rng import Streams
from .color import COLOR_ACTIVATIONS, activate_color, check_activation, raw_color

MODES = ("albedo", "textureless", "shaded")


@dataclass(frozen=True)
class Lambertian:
    """Diffuse shading with one random mode per step.

    "shaded"         albedo * (ambient + diffuse * max(0, n.l))
    "textureless"    ambient + diffuse * max(0, n.l)
    "albedo"         albedo

    activation       see `activate_color`; an unbounded albedo is clamped to [0,1] before shading
    shares           relative frequencies of MODES
    albedo_steps, albedo_fraction  mode "albedo" only until both this step and this fraction of the run (threestudio:
                     step 1000, and 2001 in its DreamFusion recipe)

    Source: Poole et al. 2022 (DreamFusion), section 3.1.
    """

    activation: str = "sigmoid"
    shares: tuple[float, float, float] = (0.25, 0.375, 0.375)
    albedo_steps: int = 0
    albedo_fraction: float = 0.25
    channels = 3

    def __post_init__(self):
        check_activation(self.activation)
        if min(self.shares) < 0 or sum(self.shares) <= 0:
            raise DistillError(f"Lambertian: the shares of {', '.join(MODES)} must be 0 or more and not all 0, "
                               f"got {list(self.shares)}.")

    def build(self) -> "LambertianModule":
        return LambertianModule(self)


class LambertianModule(Material):
    """See Lambertian. Differentiable in features and normal; has no parameters."""

    channels = 3

    def __init__(self, recipe: Lambertian):
        super().__init__()
        self.recipe = recipe

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """features [N,3], normal [N,3] and light with N rows (both unused in mode "albedo"), position [N,3];
        direction [N,3] from the camera, which this material ignores."""
        albedo = activate_color(features, self.recipe.activation)
        if mode == "albedo":
            return albedo, albedo
        if normal is None or light is None:
            raise DistillError(f'Lambertian: shading "{mode}" needs a light and normals. Connect a light to the '
                               'Objective.')
        towards = F.normalize(light.position - position, dim=-1)
        shade = (light.ambient + light.diffuse * (normal * towards).sum(-1).clamp(min=0))[:, None]
        return (shade.expand(-1, 3) if mode == "textureless" else albedo.clamp(0, 1) * shade), albedo

    def features_of(self, albedo: Tensor) -> Tensor:
        return raw_color(albedo, self.recipe.activation)

    def draw_mode(self, step: int, total: int, streams: Streams) -> str:
        """One mode for all views of the step."""
        if step < max(self.recipe.albedo_steps, self.recipe.albedo_fraction * total):
            return "albedo"
        return MODES[int(torch.multinomial(torch.tensor(self.recipe.shares), 1, generator=streams("shading")))]

    def needs_normal(self, mode: str) -> bool:
        return mode != "albedo"

    def needs_light(self, mode: str) -> bool:
        return mode != "albedo"


class LambertianNode(Node):
    advanced = ("activation", "albedo_steps", "albedo_fraction", "textureless_share")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Lambertian", display_name="Lambertian", category="Distill3D/materials",
            description="Diffuse shading under a point light. Some steps shade a white object, so that geometry must "
                        "explain the image (DreamFusion).",
            search_aliases=["diffuse", "shading", "textureless"],
            inputs=[
                io.Combo.Input("activation", options=list(COLOR_ACTIVATIONS), default="sigmoid",
                               tooltip='Activation from features to colours. "scaled" is unbounded, as published with '
                                       "DeepFloyd IF."),
                io.Float.Input("albedo_share", default=0.25, min=0.0, max=1.0, step=0.005,
                               tooltip="Relative frequency of steps with unlit colours, compared to the other two "
                                       "shares."),
                io.Float.Input("textureless_share", default=0.375, min=0.0, max=1.0, step=0.005,
                               tooltip="Relative frequency of steps that shade a white object."),
                io.Float.Input("shaded_share", default=0.375, min=0.0, max=1.0, step=0.005,
                               tooltip="Relative frequency of steps that shade the colours."),
                io.Int.Input("albedo_steps", default=0, min=0, max=1_000_000,
                             tooltip="Unlit colours only before this step. Published: 1000 to 2001."),
                io.Float.Input("albedo_fraction", default=0.25, min=0.0, max=1.0, step=0.01,
                               tooltip="Unlit colours only before this fraction of the run. The later of this and "
                                       "albedo_steps applies."),
            ],
            outputs=[MATERIAL.Output("material", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, activation="sigmoid", albedo_share=0.25, textureless_share=0.375, shaded_share=0.375,
                albedo_steps=0, albedo_fraction=0.25) -> io.NodeOutput:
        return io.NodeOutput(Lambertian(activation, (albedo_share, textureless_share, shaded_share), albedo_steps,
                                        albedo_fraction))
