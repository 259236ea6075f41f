"""Solid Background: one colour behind everything."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..comfy import BACKGROUND, Node, io
from ..core.material import Background
from ..core.rng import Streams
from .color import parse_color


@dataclass(frozen=True)
class SolidBackground:
    """Recipe. color: red, green, blue in [0,1]."""

    color: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def build(self) -> "SolidBackgroundModule":
        return SolidBackgroundModule(self.color)


class SolidBackgroundModule(Background):
    """directions [B,H,W,3] -> rgb [B,H,W,3]. No parameters."""

    def __init__(self, color: tuple[float, float, float]):
        super().__init__()
        self.register_buffer("color", torch.tensor(color), persistent=False)

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        return self.color.expand_as(directions)


class SolidBackgroundNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SolidBackground", display_name="Solid Background", category="Distill3D/materials",
            description="One colour behind everything.", search_aliases=["white background", "color"],
            inputs=[io.String.Input("color", default="#ffffff",
                                    tooltip='The colour: "#ff8000", or red, green, blue from 0 to 1 as "1, 0.5, 0".')],
            outputs=[BACKGROUND.Output("background", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, color="#ffffff") -> io.NodeOutput:
        return io.NodeOutput(SolidBackground(parse_color(color)))
