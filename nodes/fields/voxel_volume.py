"""Voxel Volume: density and colour on a dense grid, stored as a pyramid. The fastest field for small scenes."""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..comfy import FIELD, Node, io, scheduled
from ..core.errors import DistillError
from ..core.field import FieldOutput, Replacement, VolumeField, groups_text
from ..core.rng import Streams
from ..core.schedule import Schedule
from .initial import InitialDensity, cube, initial_inputs, radius_input


@dataclass(frozen=True)
class VoxelVolume:
    """Recipe of a dense grid over [-radius, radius]^3 that is the sum of coarser and finer grids.

    resolutions  nodes per axis of each level, rising
    levels       number of active levels, from the coarsest, as a schedule. Never falls during a run
    """

    radius: float = 1.15
    resolutions: tuple[int, ...] = (12, 24, 48)
    levels: Schedule = Schedule.of(8)
    initial: InitialDensity = field(default_factory=lambda: InitialDensity(scale=1.5))

    def __post_init__(self):
        if not self.resolutions or min(self.resolutions) < 2 or list(self.resolutions) != sorted(set(self.resolutions)):
            raise DistillError(f"Voxel Volume: resolutions must rise and be 2 or more, got {list(self.resolutions)}.")

    def build(self, channels: int) -> "VoxelVolumeModule":
        return VoxelVolumeModule(self, channels)


def halved(resolution: int, levels: int) -> tuple[int, ...]:
    """(48, 3) -> (12, 24, 48): as many levels as there are with 2 nodes or more."""
    return tuple(resolution >> k for k in reversed(range(levels)) if resolution >> k >= 2)


class VoxelVolumeModule(VolumeField):
    """See VoxelVolume. Points outside the bounds get the value of the nearest point inside.

    Each evaluation sums the levels into one grid [1,1+C,R,R,R] (axes z, y, x; nodes on the bounds) and samples that
    once. Normals are the grid's central differences, sampled with it: three more channels, no double backward.
    """

    groups = ("density", "color")

    def __init__(self, recipe: VoxelVolume, channels: int):
        super().__init__()
        self.recipe, self.channels = recipe, channels
        self.register_buffer("bounds", cube(recipe.radius), persistent=False)
        self.register_buffer("level_weight", torch.zeros(len(recipe.resolutions)))
        self.raw_density = nn.ParameterList(torch.zeros(1, 1, n, n, n) for n in recipe.resolutions)
        self.raw_features = nn.ParameterList(0.02 * torch.randn(1, channels, n, n, n) for n in recipe.resolutions)
        self.register_buffer("blob", self._blob(recipe.resolutions[-1]), persistent=False)
        for level, (size, finer) in enumerate(zip(recipe.resolutions, recipe.resolutions[1:])):
            lines = F.interpolate(torch.eye(size)[None], size=finer, mode="linear", align_corners=True)
            self.register_buffer(f"finer_{level}", lines[0].t().contiguous(), persistent=False)
        self._kept: tuple | None = None
        self._activate(0, 1)

    def _blob(self, size: int) -> Tensor:
        line = torch.linspace(-self.recipe.radius, self.recipe.radius, size)
        z, y, x = torch.meshgrid(line, line, line, indexing="ij")
        bias = self.recipe.initial.bias(torch.stack([x, y, z], -1))
        return torch.zeros(1, 1, 1, 1, 1) if bias is None else bias[None, None]

    def density(self, x: Tensor) -> Tensor:
        return self.recipe.initial.activate(self._sample(x, self._grid(features=False))[0])

    def forward(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput:
        sampled = self._sample(x, self._grid(features=True, normals=normals))
        normal = F.normalize(sampled[-3:].t(), dim=-1, eps=1e-6) if normals else None
        return FieldOutput(self.recipe.initial.activate(sampled[0]), sampled[1:1 + self.channels].t(), normal)

    def grid(self) -> tuple[Tensor, Tensor]:
        """Raw density, blob included, [1,1,R,R,R] and features [1,C,R,R,R], for regularisers on the grid itself."""
        return self._total(self.raw_density) + self.blob, self._total(self.raw_features)

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        self._activate(step, total)
        return ()

    def _activate(self, step: int, total: int) -> None:
        """Sets the active levels by the schedule."""
        active = int(self.recipe.levels.at(step, total) + 1e-6)
        self.level_weight[:max(active, 1)] = 1

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"density": list(self.raw_density), "color": list(self.raw_features)}

    def _total(self, levels: nn.ParameterList) -> Tensor:
        total = levels[0] * self.level_weight[0]
        for index, level in enumerate(levels[1:]):
            total = _resize(total, self.get_buffer(f"finer_{index}")) + level * self.level_weight[index + 1]
        return total

    def _grid(self, features: bool, normals: bool = False) -> Tensor:
        """The summed grid with density, and features and outward direction if asked for. Without gradients it is kept
        between calls, so that an image that is rendered in chunks sums the levels once."""
        if torch.is_grad_enabled():
            self._kept = None
            return self._combine(features, normals)
        key = (features, normals, *((p.data_ptr(), p._version) for p in (*self.parameters(), self.level_weight)))
        if self._kept is None or self._kept[0] != key:
            self._kept = key, self._combine(features, normals)
        return self._kept[1]

    def _combine(self, features: bool, normals: bool) -> Tensor:
        density = self._total(self.raw_density) + self.blob
        channels = [density]
        if features:
            channels.append(self._total(self.raw_features))
        if normals:
            padded = F.pad(density, (1,) * 6, mode="replicate")
            inside = slice(1, -1)
            channels += [padded[:, :, inside, inside, :-2] - padded[:, :, inside, inside, 2:],
                         padded[:, :, inside, :-2, inside] - padded[:, :, inside, 2:, inside],
                         padded[:, :, :-2, inside, inside] - padded[:, :, 2:, inside, inside]]
        return torch.cat(channels, 1) if len(channels) > 1 else density

    def _sample(self, x: Tensor, grid: Tensor) -> Tensor:
        """[K,N] values of grid [1,K,R,R,R] at world points x [N,3]."""
        if not len(x):
            return grid.flatten(2)[0, :, :0]
        # The backward pass is parallel over the batch only. A fixed number of rows keeps results the same bit for bit
        # whatever the number of threads.
        rows = 2 if x.device.type == "cpu" and len(x) > 1024 else 1
        place = F.pad(x / self.recipe.radius, (0, 0, 0, len(x) % rows)).view(rows, 1, 1, -1, 3)
        sampled = F.grid_sample(grid.expand(rows, -1, -1, -1, -1), place, mode="bilinear", padding_mode="border",
                                align_corners=True)
        return sampled.transpose(0, 1).reshape(grid.shape[1], -1)[:, :len(x)]


def _resize(values: Tensor, lines: Tensor) -> Tensor:
    """Trilinear resizing of values [1,K,n,n,n] by lines [m,n], the linear map of one axis: three products, several
    times as fast as F.interpolate."""
    along_y = lines @ (values @ lines.t())
    along_z = lines @ along_y.flatten(-2)
    return along_z.unflatten(-1, along_y.shape[-2:])


class VoxelVolumeNode(Node):
    advanced = ("activation", "blob", "blob_strength", "blob_spread", "density_scale", "pyramid_levels")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_VoxelVolume", display_name="Voxel Volume", category="Distill3D/fields",
            description="Density and colour on a dense grid, stored as a pyramid. The fastest field for small scenes.",
            search_aliases=["dense grid", "dvgo", "plenoxels", "nerf"],
            inputs=[
                radius_input(), *initial_inputs(),
                io.Float.Input("density_scale", default=1.5, min=0.001, max=1000.0, step=0.1,
                               tooltip="Multiplies the density. Above 1, a surface can be opaque within few samples."),
                io.Int.Input("resolution", default=48, min=2, max=512, tooltip="Nodes per axis of the finest level."),
                io.Int.Input("pyramid_levels", default=3, min=1, max=8,
                             tooltip="Number of grids that are summed; each has half the resolution of the next. "
                                     "Coarse grids change large regions at once."),
                scheduled("active_levels", 8.0, "Number of active levels, from the coarsest, rounded down. Use a "
                                                "Schedule to add finer levels later.", min=1.0, max=8.0, step=1.0),
            ],
            outputs=[FIELD.Output("field", tooltip=f"For a Volume Renderer. {groups_text(VoxelVolumeModule.groups)}")])

    @classmethod
    def execute(cls, radius=1.15, activation="softplus", blob="magic3d blob", blob_strength=10.0, blob_spread=0.5,
                density_scale=1.5, resolution=48, pyramid_levels=3, active_levels=8.0) -> io.NodeOutput:
        initial = InitialDensity(activation, blob, blob_strength, blob_spread, density_scale)
        return io.NodeOutput(VoxelVolume(radius, halved(resolution, pyramid_levels), Schedule.of(active_levels),
                                         initial))
