"""Triplane Volume: three feature planes and two small networks (Chan et al. 2022, EG3D)."""
from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..comfy import FIELD, Node, io
from ..core.errors import DistillError
from ..core.field import groups_text
from .encoded_volume import EncodedVolume, VolumeSettings, head, settings_inputs, settings_of

COMBINE = ("sum", "concat")
_AXES = ((0, 1), (0, 2), (1, 2))  # the two coordinates of each plane


@dataclass(frozen=True)
class TriplaneVolume:
    """Recipe of three planes of C channels, R by R, over the bounds.

    combine  "sum" of the planes' features (Chan et al. 2022, EG3D), or "concat"
    width    of the heads' hidden layers
    """

    settings: VolumeSettings = field(default_factory=lambda: VolumeSettings(normals="finite difference"))
    resolution: int = 64
    features: int = 16
    combine: str = COMBINE[0]
    width: int = 32

    def __post_init__(self):
        if self.combine not in COMBINE:
            raise DistillError(f'Triplane Volume: combine must be one of {", ".join(COMBINE)}, got "{self.combine}".')

    def build(self, channels: int) -> "TriplaneVolumeModule":
        return TriplaneVolumeModule(self, channels)


class TriplaneVolumeModule(EncodedVolume):
    """See TriplaneVolume. Groups: "encoding" (planes [3,C,R,R]), "network" (the heads).

    Points outside the bounds get the features of the nearest point inside.
    """

    groups = ("encoding", "network")

    def __init__(self, recipe: TriplaneVolume, channels: int):
        super().__init__(recipe.settings)
        self.recipe = recipe
        self.planes = nn.Parameter(0.1 * torch.randn(3, recipe.features, recipe.resolution, recipe.resolution))
        width_in = recipe.features * (3 if recipe.combine == "concat" else 1)
        self.density_head = head(width_in, recipe.width, 1)
        self.feature_head = head(width_in, recipe.width, channels)

    def encode(self, x: Tensor, variance: Tensor | None) -> Tensor:
        place = torch.stack([x[:, axes] for axes in _AXES]) / self.settings.radius  # [3,N,2]
        # grid_sample is faster, but has no double backward, which analytic normals need in training.
        sample = _interpolate if x.requires_grad else _sample
        features = sample(self.planes, place)  # [3,N,C]
        return features.sum(0) if self.recipe.combine == "sum" else features.movedim(0, 1).flatten(1)

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"encoding": [self.planes],
                "network": [*self.density_head.parameters(), *self.feature_head.parameters()]}


def _sample(planes: Tensor, place: Tensor) -> Tensor:
    """Bilinear values [3,N,C] of planes [3,C,R,R] at place [3,N,2] in [-1,1] (corner to corner)."""
    if not place.shape[1]:
        return planes.flatten(2).transpose(1, 2)[:, :0]
    sampled = F.grid_sample(planes, place[:, None], mode="bilinear", padding_mode="border", align_corners=True)
    return sampled[:, :, 0].transpose(1, 2)


def _interpolate(planes: Tensor, place: Tensor) -> Tensor:
    """The same by operations that can be differentiated to any order."""
    count, channels, size, _ = planes.shape
    scaled = ((place.clamp(-1, 1) + 1) * (0.5 * (size - 1)))
    low = scaled.detach().long().clamp(0, size - 2)
    part = scaled - low
    table = planes.flatten(2).transpose(1, 2).reshape(-1, channels)
    start = (torch.arange(count, device=planes.device) * size * size)[:, None]
    total = 0
    for across in (0, 1):
        for down in (0, 1):
            row = start + (low[..., 1] + down) * size + low[..., 0] + across
            weight = (part[..., 0] if across else 1 - part[..., 0]) * (part[..., 1] if down else 1 - part[..., 1])
            total = total + F.embedding(row, table) * weight[..., None]
    return total


class TriplaneVolumeNode(Node):
    advanced = ("normals", "epsilon", "activation", "blob", "blob_strength", "blob_spread", "features", "combine",
                "width")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TriplaneVolume", display_name="Triplane Volume", category="Distill3D/fields",
            description="Three feature planes and two small networks (EG3D).",
            search_aliases=["tri-plane", "eg3d", "nerf"], inputs=[
                *settings_inputs("finite difference"),
                io.Int.Input("resolution", default=64, min=2, max=2048, tooltip="Nodes per side of each plane."),
                io.Int.Input("features", default=16, min=1, max=256, tooltip="Features per node."),
                io.Combo.Input("combine", options=list(COMBINE), default="sum",
                               tooltip="How the features of the three planes are combined."),
                io.Int.Input("width", default=32, min=1, max=1024, tooltip="Width of the networks' hidden layer."),
            ],
            outputs=[FIELD.Output("field", tooltip="For a Volume Renderer. "
                                                   f"{groups_text(TriplaneVolumeModule.groups)}")])

    @classmethod
    def execute(cls, radius=1.15, normals="finite difference", epsilon=0.01, activation="softplus", blob="magic3d blob",
                blob_strength=10.0, blob_spread=0.5, resolution=64, features=16, combine="sum",
                width=32) -> io.NodeOutput:
        settings = settings_of(radius, normals, epsilon, activation, blob, blob_strength, blob_spread)
        return io.NodeOutput(TriplaneVolume(settings, resolution, features, combine, width))
