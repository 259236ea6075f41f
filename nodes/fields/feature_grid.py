"""A hash encoding of position and a small network: features anywhere in a box (Mueller et al. 2022,
Instant-NGP)."""
from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...kernels.encode.hash_grid import HashGrid, encode_hash_grid
from ..comfy import io
from ..core.errors import DistillError
from .encoded_volume import head


@dataclass(frozen=True)
class Learned:
    """Initial values of a feature grid instead of random ones.

    table   [T,F]
    hidden  [W,E] weights of the head's hidden layer; output [C,W] of its output layer
    box     [2,3] the box that the table covers, world units
    """

    table: Tensor
    hidden: Tensor
    output: Tensor
    box: Tensor


@dataclass(frozen=True)
class FeatureGrid:
    """Recipe of a hash grid and a network. Defaults as published.

    levels, features, log2_size, base  see kernels.encode.hash_grid.HashGrid
    finest   vertices per axis of the finest level
    width    of the hidden layer
    learned  initial values; None: random
    """

    levels: int = 16
    features: int = 2
    log2_size: int = 19
    base: int = 16
    finest: int = 4096
    width: int = 64
    learned: Learned | None = field(default=None, compare=False)

    @property
    def layout(self) -> HashGrid:
        return layout_of(self.levels, self.features, self.log2_size, self.base, self.finest)

    def build(self, channels: int, box: Tensor) -> "FeatureGridModule":
        """A module that gives features [N,channels] over box [2,3], or over the box of `learned`."""
        return FeatureGridModule(self, channels, box)


class FeatureGridModule(nn.Module):
    """See FeatureGrid. Outside the box: the features of the nearest point inside.

    Channels beyond those of `learned` start at 0, the middle of every activation.
    """

    def __init__(self, recipe: FeatureGrid, channels: int, box: Tensor):
        super().__init__()
        self.layout, learned = recipe.layout, recipe.learned
        self.register_buffer("box", box.clone() if learned is None else learned.box.clone(), persistent=False)
        self.table = nn.Parameter(torch.empty(self.layout.entries, recipe.features).uniform_(-1e-4, 1e-4))
        self.head = head(self.layout.channels, recipe.width, channels)
        if learned is not None:
            kept = min(channels, len(learned.output))
            with torch.no_grad():
                self.table.copy_(learned.table)
                self.head[0].weight.copy_(learned.hidden)
                self.head[2].weight.zero_()[:kept] = learned.output[:kept]

    def forward(self, x: Tensor, active_levels: float | None = None) -> Tensor:
        """Features [N,C] at world points [N,3]; active_levels: see encode_hash_grid."""
        place = (x - self.box[0]) / (self.box[1] - self.box[0])
        return self.head(encode_hash_grid(place, self.table, self.layout, active_levels))

    def learned(self) -> Learned:
        """The current parameters, copied to the CPU."""
        return Learned(*(tensor.detach().to("cpu", copy=True)
                         for tensor in (self.table, self.head[0].weight, self.head[2].weight, self.box)))

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"encoding": [self.table], "network": list(self.head.parameters())}


def layout_of(levels: int, features: int, log2_size: int, base: int, finest: int) -> HashGrid:
    """The layout whose finest level has `finest` vertices per axis."""
    growth = (finest / base) ** (1 / max(levels - 1, 1))
    # Rounded down: a rounding error upwards would add a vertex to the finest level.
    return HashGrid(levels, features, log2_size, base, math.floor(growth * 1e10) / 1e10)


def check_sizes(title: str, base: int, finest: int) -> None:
    if finest < base:
        raise DistillError(f'{title}: "finest" ({finest}) is smaller than "base" ({base}). Raise it.')


def grid_inputs() -> list:
    """The widgets of FeatureGrid."""
    return [
        io.Int.Input("levels", default=16, min=1, max=32, tooltip="Number of grids, from coarse to fine."),
        io.Int.Input("features", default=2, min=1, max=8, tooltip="Features per vertex."),
        io.Int.Input("log2_size", default=19, min=3, max=24,
                     tooltip="Base-2 logarithm of the table size of a level. Published: 19; 14 is fast on a CPU."),
        io.Int.Input("base", default=16, min=2, max=1024, tooltip="Vertices per axis of the coarsest level."),
        io.Int.Input("finest", default=4096, min=2, max=1_048_576, tooltip="Vertices per axis of the finest level."),
        io.Int.Input("width", default=64, min=1, max=1024, tooltip="Width of the networks' hidden layer."),
    ]
