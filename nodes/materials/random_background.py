"""Random Background: another colour at every step, so that an object cannot be painted onto it."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.upload import upload
from ..comfy import BACKGROUND, Node, io
from ..core.errors import DistillError
from ..core.material import Background
from ..core.rng import Streams
from .color import parse_color

KINDS = ("white", "grey", "color", "black")


@dataclass(frozen=True)
class RandomBackground:
    """A constant colour that is drawn anew at every training step.

    shares    how often it is white, a grey between black and white, any colour, black; only ratios count. The
              defaults are those of the pictures that the built-in prior has seen
    per_view  a colour for each view, otherwise one for all views of the step
    still     colour of still pictures
    """

    shares: tuple[float, float, float, float] = (0.35, 0.25, 0.4, 0.0)
    per_view: bool = True
    still: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self):
        if min(self.shares) < 0 or sum(self.shares) <= 0:
            raise DistillError(f"Random Background: the shares of {', '.join(KINDS)} must be 0 or more and not all 0, "
                               f"got {list(self.shares)}.")

    def build(self) -> "RandomBackgroundModule":
        return RandomBackgroundModule(self)


class RandomBackgroundModule(Background):
    """directions [B,H,W,3] -> rgb [B,H,W,3], constant over each view. No parameters."""

    def __init__(self, recipe: RandomBackground):
        super().__init__()
        self.recipe = recipe

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        if streams is None:
            colors = torch.tensor([self.recipe.still])
        else:
            colors = self._draw(len(directions) if self.recipe.per_view else 1, streams("background"))
        return upload(colors, directions.device, directions.dtype)[:, None, None].expand_as(directions)

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        kind = torch.multinomial(torch.tensor(self.recipe.shares, dtype=torch.float32), count, replacement=True,
                                 generator=generator)
        color = torch.rand(count, 3, generator=generator)
        choices = torch.stack([torch.ones(count, 3), color[:, :1].expand(-1, 3), color, torch.zeros(count, 3)])
        return choices[kind, torch.arange(count)]


class RandomBackgroundNode(Node):
    @classmethod
    def define_schema(cls):
        def share(kind, default):
            return io.Float.Input(f"{kind}_share", default=default, min=0.0, max=1.0, step=0.01,
                                  tooltip=f"How often it is {kind}, relative to the other shares.")
        return io.Schema(
            node_id="Distill3D_RandomBackground", display_name="Random Background", category="Distill3D/materials",
            description="Another colour at every step, so that an object cannot be painted onto it.",
            search_aliases=["background augmentation"],
            inputs=[
                share("white", 0.35), share("grey", 0.25), share("color", 0.4), share("black", 0.0),
                io.Boolean.Input("per_view", default=True,
                                 tooltip="A colour for each view; otherwise all views of a step share one."),
                io.String.Input("still_color", default="#ffffff",
                                tooltip='Colour of previews and final pictures: "#ff8000", or "1, 0.5, 0".'),
            ],
            outputs=[BACKGROUND.Output("background", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, white_share=0.35, grey_share=0.25, color_share=0.4, black_share=0.0, per_view=True,
                still_color="#ffffff") -> io.NodeOutput:
        return io.NodeOutput(RandomBackground((white_share, grey_share, color_share, black_share), per_view,
                                              parse_color(still_color)))
