"""MLP Volume: a network on positional encoding (NeRF) or integrated positional encoding (mip-NeRF)."""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Linear

from ...kernels.encode.frequency import encode_frequency
from ...kernels.encode.integrated import encode_integrated
from ..comfy import FIELD, Node, io
from ..core.errors import DistillError
from ..core.field import groups_text
from .encoded_volume import EncodedVolume, VolumeSettings, settings_inputs, settings_of

ENCODINGS = ("frequency", "integrated")
NETWORK_ACTIVATIONS = {"softplus": nn.Softplus, "swish": nn.SiLU, "relu": nn.ReLU}


@dataclass(frozen=True)
class MLPVolume:
    """Recipe of a positional encoding of x / radius, a network of `depth` layers of `width`, and two linear heads.

    encoding   "frequency" (Mildenhall et al. 2020, NeRF, eq. 4), or "integrated" over the conical frustum of each
               sample (Barron et al. 2021, mip-NeRF; DreamFusion). The lowest frequency is half a period per radius
    octaves    number of frequencies
    activation of the hidden layers: smooth ones give smooth analytic normals
    """

    settings: VolumeSettings = field(default_factory=VolumeSettings)
    encoding: str = ENCODINGS[0]
    octaves: int = 6
    depth: int = 3
    width: int = 64
    activation: str = "swish"

    def __post_init__(self):
        if self.encoding not in ENCODINGS:
            raise DistillError(f'MLP Volume: encoding must be one of {", ".join(ENCODINGS)}, got "{self.encoding}".')
        if self.activation not in NETWORK_ACTIVATIONS:
            raise DistillError(f'MLP Volume: network activation "{self.activation}" is unknown. Use one of '
                               f'{", ".join(NETWORK_ACTIVATIONS)}.')
        if min(self.octaves, self.depth, self.width) < 1:
            raise DistillError("MLP Volume: octaves, depth and width must be 1 or more.")

    def build(self, channels: int) -> "MLPVolumeModule":
        return MLPVolumeModule(self, channels)


class MLPVolumeModule(EncodedVolume):
    """See MLPVolume. All parameters are of the group "network"."""

    groups = ("network",)

    def __init__(self, recipe: MLPVolume, channels: int):
        super().__init__(recipe.settings)
        self.recipe = recipe
        self.wants_variance = recipe.encoding == "integrated"
        sizes = [6 * recipe.octaves + (0 if self.wants_variance else 3), *[recipe.width] * recipe.depth]
        layers: list[nn.Module] = []
        for before, after in zip(sizes, sizes[1:]):
            layers += [Linear(before, after), NETWORK_ACTIVATIONS[recipe.activation]()]
        self.trunk = nn.Sequential(*layers)
        self.density_head = Linear(recipe.width, 1)
        self.feature_head = Linear(recipe.width, channels)

    def encode(self, x: Tensor, variance: Tensor | None) -> Tensor:
        """variance [N,3] of each point along the axes, world units squared; None: 0."""
        radius = self.settings.radius
        if not self.wants_variance:
            return self.trunk(encode_frequency(x / radius, self.recipe.octaves, include_input=True))
        # The integrated encoding takes radians, the other half periods.
        scale = math.pi / radius
        variance = torch.zeros_like(x) if variance is None else variance * scale ** 2
        return self.trunk(encode_integrated(x * scale, variance, self.recipe.octaves))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"network": list(self.parameters())}


class MLPVolumeNode(Node):
    advanced = ("normals", "epsilon", "activation", "blob", "blob_strength", "blob_spread", "encoding", "octaves",
                "network_activation")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_MLPVolume", display_name="MLP Volume", category="Distill3D/fields",
            description="A network on positional encoding (NeRF) or integrated positional encoding (mip-NeRF).",
            search_aliases=["nerf", "mip-nerf", "integrated positional encoding", "dreamfusion"],
            inputs=[
                *settings_inputs(),
                io.Combo.Input("encoding", options=list(ENCODINGS), default="frequency",
                               tooltip="Positional encoding of the sample, or its mean over the conical frustum of the "
                                       "sample."),
                io.Int.Input("octaves", default=6, min=1, max=20,
                             tooltip="Number of frequencies, each twice the previous."),
                io.Int.Input("depth", default=3, min=1, max=16, tooltip="Number of hidden layers."),
                io.Int.Input("width", default=64, min=1, max=2048, tooltip="Width of the hidden layers."),
                io.Combo.Input("network_activation", options=list(NETWORK_ACTIVATIONS), default="swish",
                               tooltip="Activation of the hidden layers. Smooth ones give smooth normals."),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a Volume Renderer. {groups_text(MLPVolumeModule.groups)}")])

    @classmethod
    def execute(cls, radius=1.15, normals="analytic", epsilon=0.01, activation="softplus", blob="magic3d blob",
                blob_strength=10.0, blob_spread=0.5, encoding="frequency", octaves=6, depth=3, width=64,
                network_activation="swish") -> io.NodeOutput:
        settings = settings_of(radius, normals, epsilon, activation, blob, blob_strength, blob_spread)
        return io.NodeOutput(MLPVolume(settings, encoding, octaves, depth, width, network_activation))
