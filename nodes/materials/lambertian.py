"""Lambertian: colour under a light, now and then without texture, so that shape cannot hide in paint (DreamFusion)."""
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
    """colour = albedo * (ambient + diffuse * max(0, n.l)), or the bracket alone ("textureless"), or albedo alone.

    activation       see `activate_color`; unbounded albedo is clamped to [0,1] where it is shaded
    shares           how often each of MODES is drawn, one mode per step; only their ratios count
    albedo_steps, albedo_fraction  before the later of this step and this part of the run, albedo only
                     (threestudio: step 1000, 2001 in its DreamFusion recipe)

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
            raise DistillError(f'Lambertian: shading "{mode}" needs a light and normals. Wire a light into the '
                               'objective.')
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
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Lambertian", display_name="Lambertian", category="Distill3D/materials",
            description="Colour under a light, now and then without texture, so that shape cannot hide in paint "
                        "(DreamFusion).",
            search_aliases=["diffuse", "shading", "textureless"],
            inputs=[
                io.Combo.Input("activation", options=list(COLOR_ACTIVATIONS), default="sigmoid",
                               tooltip='How features become colours. "scaled" is unbounded, as published with '
                                       "DeepFloyd IF."),
                io.Float.Input("albedo_share", default=0.25, min=0.0, max=1.0, step=0.005,
                               tooltip="How often a step shows colours without light, relative to the other two "
                                       "shares."),
                io.Float.Input("textureless_share", default=0.375, min=0.0, max=1.0, step=0.005,
                               tooltip="How often a step shows the light on a white object."),
                io.Float.Input("shaded_share", default=0.375, min=0.0, max=1.0, step=0.005,
                               tooltip="How often a step shows colours under the light."),
                io.Int.Input("albedo_steps", default=0, min=0, max=1_000_000,
                             tooltip="Albedo only before this step. Published: 1000 to 2001."),
                io.Float.Input("albedo_fraction", default=0.25, min=0.0, max=1.0, step=0.01,
                               tooltip="Albedo only before this part of the run; the later of this and albedo_steps "
                                       "counts."),
            ],
            outputs=[MATERIAL.Output("material", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, activation="sigmoid", albedo_share=0.25, textureless_share=0.375, shaded_share=0.375,
                albedo_steps=0, albedo_fraction=0.25) -> io.NodeOutput:
        return io.NodeOutput(Lambertian(activation, (albedo_share, textureless_share, shaded_share), albedo_steps,
                                        albedo_fraction))
