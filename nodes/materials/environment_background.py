"""Environment Background: a small network gives the colour of each view direction."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import Linear

from ...kernels.encode.spherical_harmonics import encode_spherical_harmonics
from ...kernels.upload import upload
from ..comfy import BACKGROUND, Node, io
from ..core.field import groups_text
from ..core.material import Background
from ..core.rng import Streams
from .color import ACTIVATIONS, activate_color, check_activation

_ORDERS = 2  # orders 0..2: the nine harmonics that tiny-cuda-nn calls degree 3


@dataclass(frozen=True)
class EnvironmentBackground:
    """Colour of a direction: spherical harmonics, bias-free MLP with ReLU, activation (threestudio's neural map).

    width, layers  of the hidden layers; published: two of 16
    random_share   probability in training that a uniformly random colour replaces the network; published: 0, or 0.5 in
                   ProlificDreamer and MVDream
    per_view       whether that is drawn for each view (ProlificDreamer) or once per step (MVDream)
    """

    width: int = 16
    layers: int = 2
    activation: str = "sigmoid"
    random_share: float = 0.0
    per_view: bool = True

    def __post_init__(self):
        check_activation(self.activation, ACTIVATIONS)

    def build(self, channels: int = 3) -> "EnvironmentBackgroundModule":
        return EnvironmentBackgroundModule(self, channels)


class EnvironmentBackgroundModule(Background):
    """directions [B,H,W,3] unit -> colours [B,H,W,C]. Its parameters are in the group "background"."""

    groups = ("background",)

    def __init__(self, recipe: EnvironmentBackground, channels: int = 3):
        super().__init__()
        self.recipe, self.channels = recipe, channels
        sizes = [(_ORDERS + 1) ** 2, *[recipe.width] * recipe.layers, channels]
        layers: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:]):
            layers += [Linear(before, after, bias=False), nn.ReLU()]
        self.network = nn.Sequential(*layers[:-1])

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        encoded = encode_spherical_harmonics(directions.reshape(-1, 3), _ORDERS)
        rgb = activate_color(self.network(encoded), self.recipe.activation).view(*directions.shape[:-1], self.channels)
        if streams is None or self.recipe.random_share <= 0:
            return rgb
        count, generator = (len(directions) if self.recipe.per_view else 1), streams("background")
        replaced = torch.rand(count, 1, 1, 1, generator=generator) < self.recipe.random_share
        color = torch.rand(count, 1, 1, self.channels, generator=generator)
        return torch.where(upload(replaced, rgb.device), upload(color, rgb.device, rgb.dtype), rgb)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"background": list(self.network.parameters())}


class EnvironmentBackgroundNode(Node):
    advanced = ("width", "layers", "activation", "per_view")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_EnvironmentBackground", display_name="Environment Background",
            category="Distill3D/materials", description="A small network gives the colour of each view direction.",
            search_aliases=["environment map", "neural background", "sky"],
            inputs=[
                io.Int.Input("width", default=16, min=1, max=1024, tooltip="Width of the network's hidden layers."),
                io.Int.Input("layers", default=2, min=0, max=16, tooltip="Number of the network's hidden layers."),
                io.Combo.Input("activation", options=list(ACTIVATIONS), default="sigmoid",
                               tooltip='Activation from network outputs to colours. "scaled" is unbounded, as '
                                       'published with DeepFloyd IF; "none" is for a Latent material.'),
                io.Float.Input("random_share", default=0.0, min=0.0, max=1.0, step=0.01,
                               tooltip="Probability in training that a random plain colour replaces the network."),
                io.Boolean.Input("per_view", default=True,
                                 tooltip="Draw the random replacement for each view. Otherwise once for all views of a "
                                         "step."),
            ],
            outputs=[BACKGROUND.Output("background", tooltip="For a renderer. "
                                       f"{groups_text(EnvironmentBackgroundModule.groups)}")])

    @classmethod
    def execute(cls, width=16, layers=2, activation="sigmoid", random_share=0.0, per_view=True) -> io.NodeOutput:
        return io.NodeOutput(EnvironmentBackground(width, layers, activation, random_share, per_view))
