"""Solid Background: a constant colour."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..comfy import BACKGROUND, Node, io
from ..core.material import Background
from ..core.rng import Streams
from .color import fit_channels, parse_values


@dataclass(frozen=True)
class SolidBackground:
    """Recipe. color: red, green, blue in [0,1], or one value per channel of the material, or one for all."""

    color: tuple[float, ...] = (1.0, 1.0, 1.0)

    def build(self, channels: int = 3) -> "SolidBackgroundModule":
        return SolidBackgroundModule(fit_channels(self.color, channels, "Solid Background"))


class SolidBackgroundModule(Background):
    """directions [B,H,W,3] -> [B,H,W,C]. No parameters."""

    def __init__(self, color: tuple[float, ...]):
        super().__init__()
        self.register_buffer("color", torch.tensor(color), persistent=False)

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        return self.color.expand(*directions.shape[:-1], -1)


class SolidBackgroundNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SolidBackground", display_name="Solid Background", category="Distill3D/materials",
            description="A constant colour.", search_aliases=["white background", "color"],
            inputs=[io.String.Input("color", default="#ffffff",
                                    tooltip='The colour: "#ff8000", or red, green, blue from 0 to 1 as "1, 0.5, 0". '
                                    "For a Latent material: one value for all channels, or one value for each.")],
            outputs=[BACKGROUND.Output("background", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, color="#ffffff") -> io.NodeOutput:
        return io.NodeOutput(SolidBackground(parse_values(color)))
