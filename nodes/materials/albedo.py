"""Albedo: unlit colours."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ..comfy import MATERIAL, Node, io
from ..core.material import OwnColorModule
from ..core.rendering import Light
from .color import COLOR_ACTIVATIONS, activate_color, check_activation, raw_color


@dataclass(frozen=True)
class Albedo:
    """Recipe of a material whose colours do not depend on the light. activation: see `activate_color`."""

    activation: str = "sigmoid"
    channels = 3

    def __post_init__(self):
        check_activation(self.activation)

    def build(self) -> "AlbedoModule":
        return AlbedoModule(self.activation)


class AlbedoModule(OwnColorModule):
    """Has no parameters and ignores normal, light, mode and direction."""

    def __init__(self, activation: str):
        super().__init__()
        self.activation = activation

    def forward(self, features: Tensor, normal: Tensor | None, position: Tensor, light: Light | None,
                mode: str, direction: Tensor | None = None) -> tuple[Tensor, Tensor]:
        albedo = activate_color(features, self.activation)
        return albedo, albedo

    def features_of(self, albedo: Tensor) -> Tensor:
        return raw_color(albedo, self.activation)


class AlbedoNode(Node):
    advanced = ("activation",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_Albedo", display_name="Albedo", category="Distill3D/materials",
            description="Unlit colours.",
            search_aliases=["unlit", "no material", "diffuse color"],
            inputs=[
                io.Combo.Input("activation", options=list(COLOR_ACTIVATIONS), default="sigmoid",
                               tooltip='Activation from features to colours. "scaled" is unbounded, as published with '
                                       "DeepFloyd IF."),
            ],
            outputs=[MATERIAL.Output("material", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, activation="sigmoid") -> io.NodeOutput:
        return io.NodeOutput(Albedo(activation))
