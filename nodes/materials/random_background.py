"""Random Background: a new random colour at every step, so that the background cannot become part of the object."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.upload import upload
from ..comfy import BACKGROUND, Node, io
from ..core.errors import DistillError
from ..core.material import Background
from ..core.rng import Streams
from .color import fit_channels, parse_values

KINDS = ("white", "grey", "color", "black")


@dataclass(frozen=True)
class RandomBackground:
    """A constant colour, drawn at every training step.

    shares    relative frequencies of white, a random grey, a random colour, and black. The defaults are those of the
              training pictures of the built-in prior
    per_view  whether each view has its own colour, or all views of a step share one
    still     colour of still pictures: one value per channel of the material, or one for all

    For channels that are not colours, "color" is uniform in [0,1] for each channel.
    """

    shares: tuple[float, float, float, float] = (0.35, 0.25, 0.4, 0.0)
    per_view: bool = True
    still: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __post_init__(self):
        if min(self.shares) < 0 or sum(self.shares) <= 0:
            raise DistillError(f"Random Background: the shares of {', '.join(KINDS)} must be 0 or more and not all 0, "
                               f"got {list(self.shares)}.")

    def build(self, channels: int = 3) -> "RandomBackgroundModule":
        return RandomBackgroundModule(self, channels)


class RandomBackgroundModule(Background):
    """directions [B,H,W,3] -> [B,H,W,C], constant over each view. No parameters."""

    def __init__(self, recipe: RandomBackground, channels: int = 3):
        super().__init__()
        self.recipe, self.channels = recipe, channels
        self.still = fit_channels(recipe.still, channels, "Random Background")

    def forward(self, directions: Tensor, streams: Streams | None = None) -> Tensor:
        if streams is None:
            colors = torch.tensor([self.still])
        else:
            colors = self._draw(len(directions) if self.recipe.per_view else 1, streams("background"))
        return upload(colors, directions.device, directions.dtype)[:, None, None].expand(*directions.shape[:-1], -1)

    def _draw(self, count: int, generator: torch.Generator) -> Tensor:
        kind = torch.multinomial(torch.tensor(self.recipe.shares, dtype=torch.float32), count, replacement=True,
                                 generator=generator)
        size = count, self.channels
        color = torch.rand(size, generator=generator)
        choices = torch.stack([torch.ones(size), color[:, :1].expand(size), color, torch.zeros(size)])
        return choices[kind, torch.arange(count)]


class RandomBackgroundNode(Node):
    advanced = ("grey_share", "color_share", "black_share", "per_view")

    @classmethod
    def define_schema(cls):
        def share(kind, default):
            return io.Float.Input(f"{kind}_share", default=default, min=0.0, max=1.0, step=0.01,
                                  tooltip=f"Relative frequency of a {kind} background.")
        return io.Schema(
            node_id="Distill3D_RandomBackground", display_name="Random Background", category="Distill3D/materials",
            description="A new random colour at every step, so that the background cannot become part of the object.",
            search_aliases=["background augmentation"],
            inputs=[
                share("white", 0.35), share("grey", 0.25), share("color", 0.4), share("black", 0.0),
                io.Boolean.Input("per_view", default=True,
                                 tooltip="Draw one colour for each view. Otherwise all views of a step share one."),
                io.String.Input("still_color", default="#ffffff",
                                tooltip='Colour of previews and final pictures: "#ff8000", or "1, 0.5, 0". For a '
                                "Latent material: one value for all channels, or one value for each."),
            ],
            outputs=[BACKGROUND.Output("background", tooltip="For a renderer.")])

    @classmethod
    def execute(cls, white_share=0.35, grey_share=0.25, color_share=0.4, black_share=0.0, per_view=True,
                still_color="#ffffff") -> io.NodeOutput:
        return io.NodeOutput(RandomBackground((white_share, grey_share, color_share, black_share), per_view,
                                              parse_values(still_color)))
