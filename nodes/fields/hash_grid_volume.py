"""Hash Grid Volume: a multiresolution hash encoding and two small networks (Mueller et al. 2022, Instant-NGP)."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

import torch
from torch import Tensor, nn

from ...kernels.encode.hash_grid import HashGrid, encode_hash_grid
from ..comfy import FIELD, Node, io, scheduled
from ..core.field import Replacement, groups_text
from ..core.host_buffers import HostBuffers
from ..core.rng import Streams
from ..core.schedule import Schedule
from .encoded_volume import EncodedVolume, VolumeSettings, head, settings_inputs, settings_of
from .feature_grid import FeatureGrid, Learned, check_sizes, grid_inputs, layout_of


@dataclass(frozen=True)
class HashGridVolume:
    """Recipe of a hash grid over the bounds with bias-free heads. Defaults as published.

    levels, features, log2_size, base  see kernels.encode.hash_grid.HashGrid
    finest         vertices per axis of the finest level
    width          of the heads' hidden layers
    active_levels  number of active levels, rounded down, as a schedule for progressive training. Never falls during a
                   run. Published: linear from 8 at step 2000 to 16 at step 6000
    hidden         hidden layers of each head; published 1, and 2 for Zero123
    """

    settings: VolumeSettings = field(default_factory=VolumeSettings)
    levels: int = 16
    features: int = 2
    log2_size: int = 19
    base: int = 16
    finest: int = 4096
    width: int = 64
    active_levels: Schedule = Schedule.of(32)
    hidden: int = 1

    def __post_init__(self):
        check_sizes("Hash Grid Volume", self.base, self.finest)

    @property
    def layout(self) -> HashGrid:
        return layout_of(self.levels, self.features, self.log2_size, self.base, self.finest)

    def build(self, channels: int) -> "HashGridVolumeModule":
        return HashGridVolumeModule(self, channels)


class HashGridVolumeModule(HostBuffers, EncodedVolume):
    """See HashGridVolume. Groups: "encoding" (the table), "network" (the heads)."""

    groups = ("encoding", "network")
    on_host = ("active",)

    def __init__(self, recipe: HashGridVolume, channels: int):
        super().__init__(recipe.settings)
        self.recipe, self.layout = recipe, recipe.layout
        self.table = nn.Parameter(torch.empty(self.layout.entries, recipe.features).uniform_(-1e-4, 1e-4))
        self.density_head = head(self.layout.channels, recipe.width, 1, recipe.hidden)
        self.feature_head = head(self.layout.channels, recipe.width, channels, recipe.hidden)
        # In the state, so that a trained scene keeps its levels when it is rendered or trained further.
        self.register_buffer("active", torch.zeros(()))
        self._activate(0, 1)

    def encode(self, x: Tensor, variance: Tensor | None) -> Tensor:
        radius = self.settings.radius
        return encode_hash_grid((x + radius) / (2 * radius), self.table, self.layout, float(self.active))

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        self._activate(step, total)
        return ()

    def _activate(self, step: int, total: int) -> None:
        """Sets the active levels by the schedule."""
        wanted = int(self.recipe.active_levels.at(step, total) + 1e-6)
        self.active.clamp_(min=float(min(max(wanted, 1), self.recipe.levels)))

    def color_grid(self) -> FeatureGrid | None:
        if self.recipe.hidden != 1:  # a FeatureGrid has one hidden layer
            return None
        learned = Learned(*(tensor.detach().to("cpu", copy=True) for tensor in (
            self.table, self.feature_head[0].weight, self.feature_head[2].weight, self.bounds)))
        return FeatureGrid(self.recipe.levels, self.recipe.features, self.recipe.log2_size, self.recipe.base,
                           self.recipe.finest, self.recipe.width, learned)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"encoding": [self.table],
                "network": [*self.density_head.parameters(), *self.feature_head.parameters()]}


class HashGridVolumeNode(Node):
    advanced = ("normals", "epsilon", "activation", "blob", "blob_strength", "blob_spread", "levels", "features",
                "log2_size", "base", "width", "finest", "hidden")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_HashGridVolume", display_name="Hash Grid Volume", category="Distill3D/fields",
            description="A multiresolution hash encoding and two small networks (Instant-NGP).",
            search_aliases=["instant ngp", "nerf", "implicit volume"],
            inputs=[
                *settings_inputs(),
                *grid_inputs(),
                scheduled("active_levels", 32.0, "Number of active levels, rounded down. Use a Schedule for a "
                          'progressive grid; published: "2000: 8, 6000: 16", linear.', min=1.0, max=32.0, step=1.0),
                io.Int.Input("hidden", default=1, min=1, max=8, optional=True, tooltip="Hidden layers of the two "
                             "networks; published: 1, and 2 for Zero123."),
            ],
            outputs=[FIELD.Output("field", tooltip="For a Volume Renderer. "
                                                   f"{groups_text(HashGridVolumeModule.groups)}")])

    @classmethod
    def execute(cls, radius=1.15, normals="analytic", epsilon=0.01, activation="softplus", blob="magic3d blob",
                blob_strength=10.0, blob_spread=0.5, levels=16, features=2, log2_size=19, base=16, finest=4096,
                width=64, active_levels=32.0, hidden=1) -> io.NodeOutput:
        settings = settings_of(radius, normals, epsilon, activation, blob, blob_strength, blob_spread)
        return io.NodeOutput(HashGridVolume(settings, levels, features, log2_size, base, finest, width,
                                            Schedule.of(active_levels), hidden))
