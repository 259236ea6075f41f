"""The scene of a Volume Renderer: march rays, evaluate the field, shade, composite."""
from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Iterator, Sequence

import torch
from torch import Tensor, nn

from ...kernels.counter_random import normal
from ...kernels.encode.integrated import cylinder_gaussian, frustum_gaussian
from ...kernels.volume.composite import accumulate, composite
from ...kernels.volume.march import RaySamples, march_rays, sample_points
from ...kernels.volume.occupancy import OccupancyGrid, new_occupancy, update_occupancy
from ..core.field import FieldOutput, Replacement, VolumeField
from ..core.rendering import NEARBY, Rendering, Samples
from ..core.rng import Streams
from .field_scene import FieldScene
from .shading import light_of

if TYPE_CHECKING:
    from .volume_renderer import VolumeRenderer

_CHUNK = 2**18  # samples that are evaluated at once without recorded gradients
_OCCUPANCY_EVERY = 16  # steps


@dataclass
class _Ray:
    """R rays: origin, direction [R,3], view [R] index, spread [R] (radius of the pixel's cone at distance 1, or of its
    cylinder where the rays are parallel)."""

    origin: Tensor
    direction: Tensor
    view: Tensor
    spread: Tensor
    is_parallel: bool

    def part(self, piece: slice) -> "_Ray":
        return _Ray(self.origin[piece], self.direction[piece], self.view[piece], self.spread[piece],
                    self.is_parallel)


class VolumeScene(FieldScene):
    """A Scene (see nodes.core.scene) of a field, a material and a background.

    Without recorded gradients an image is rendered in chunks of bounded memory. Samples have normals only if `wanted`
    names "normal" too. Any resolution can be rendered, whatever the training used.
    """

    weighs_by_normal = False  # whether the weights of samples need normals

    def __init__(self, recipe: "VolumeRenderer", field: VolumeField, material: nn.Module, background: nn.Module):
        super().__init__(recipe, field, material, background)
        self._box: tuple[tuple[Tensor, int], Tensor] | None = None
        if recipe.occupancy:
            grid = new_occupancy(field.bounds, recipe.occupancy)
            self.register_buffer("occupancy_value", grid.value)
            self.register_buffer("occupancy_binary", grid.binary)

    @property
    def title(self) -> str:
        return self.recipe.title

    @cached_property
    def step_length(self) -> float:
        """World length of one step: the diagonal of the bounds over the number of samples."""
        size = (self.bounds[1] - self.bounds[0]).tolist()
        return math.sqrt(sum(side * side for side in size)) / self.recipe.samples

    def _update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        replaced = super()._update(step, total, streams)
        if self.recipe.occupancy and step % _OCCUPANCY_EVERY == 0:
            with torch.no_grad():
                grid = update_occupancy(self._occupancy(), self._visible, self.step_length, step,
                                        streams("occupancy"), threshold=self.recipe.threshold)
                self.occupancy_value.copy_(grid.value)
                self.occupancy_binary.copy_(grid.binary)
        return replaced

    def _render(self, cameras, light, wanted, mode, streams, recording) -> Rendering:
        batch, height, width = len(cameras), cameras.height, cameras.width
        origins, directions = cameras.rays()
        view = torch.arange(batch, device=directions.device).repeat_interleave(height * width)
        # A pixel's cone has 2 / sqrt(12) of its width as radius (Barron et al. 2021, mip-NeRF).
        spread = 2 / math.sqrt(12) * 2 * cameras.lens.half / height
        rays = _Ray(origins.reshape(-1, 3), directions.reshape(-1, 3), view, spread[view],
                    cameras.is_orthographic)
        pieces = [self._draw(rays.part(piece), light, wanted, mode, streams, recording)
                  for piece in self._pieces(len(view), recording)]
        found = {name: torch.cat([piece[0][name] for piece in pieces]).view(batch, height, width, -1)
                 for name in pieces[0][0]} if pieces else {}
        if wanted & {"rgb", "background"}:
            found["background"] = self.background(directions, streams)
        if "rgb" in wanted:
            found["rgb"] = found["rgb"] + (1 - found["opacity"]) * found["background"]
        rendering = Rendering(**{name: image for name, image in found.items() if name in wanted})
        if "samples" in wanted:
            rendering.samples = _joined([piece[1] for piece in pieces])
        return rendering

    def _pieces(self, count: int, recording: bool) -> Iterator[slice]:
        """All rays at once with recorded gradients, otherwise as many as fit _CHUNK samples."""
        size = max(count, 1) if recording else max(_CHUNK // self.recipe.samples, 1)
        return (slice(start, start + size) for start in range(0, max(count, 1), size))

    def _draw(self, rays: _Ray, light, wanted, mode, streams, recording) -> tuple[dict[str, Tensor], Samples | None]:
        """Images [R,C] of some rays by name (rgb without background; always with opacity), and their samples."""
        samples = self._march(rays, None if streams is None else streams.key("jitter"), recording)
        ray, count = samples.ray, samples.rays
        colored = bool(wanted & {"rgb", "albedo"})
        shaded = colored and self.material.needs_normal(mode)
        position, found = self._evaluate(rays, samples, colored,
                                         "normal" in wanted or shaded or self.weighs_by_normal)
        weights, opacity = self._weights(found, samples, rays.direction[ray])
        images = {"opacity": opacity[:, None].clamp(max=1)}
        if colored:
            lit = light_of(light, rays.view[ray]) if shaded else None
            rgb, albedo = self.material(found.features, found.normal, position, lit, mode, rays.direction[ray])
            images["rgb"] = accumulate(weights, rgb, ray, count)
            if "albedo" in wanted:
                images["albedo"] = images["rgb"] if albedo is rgb else accumulate(weights, albedo, ray, count)
        if "depth" in wanted:
            images["depth"] = accumulate(weights, samples.t[:, None], ray, count)
        if "normal" in wanted:
            images["normal"] = accumulate(weights, found.normal, ray, count)
        kept = None
        if "samples" in wanted:
            kept = Samples(ray, count, samples.t, samples.delta, weights, found.density,
                           found.normal if "normal" in wanted else None, rays.direction[ray],
                           self._normals_nearby(position, streams) if "nearby" in wanted else None, found.gradient)
        return images, kept

    def _weights(self, found: FieldOutput, samples: RaySamples, direction: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [S] of samples along rays of `direction` [S,3], and opacity [R]."""
        return composite(found.density, samples.delta, samples.ray, samples.rays)

    def _visible(self, x: Tensor) -> Tensor:
        """Density [N] at x [N,3] that decides which cells are occupied."""
        return self.field.density(x)

    def _normals_nearby(self, position: Tensor, streams: Streams | None) -> Tensor:
        """Normals [S,3] at random points near `position` [S,3]."""
        key = (streams or Streams(0, 0)).key("nearby")
        shift = normal(key, torch.arange(len(position), device=position.device), 3).to(position.dtype)
        moved = (position + NEARBY * shift).clamp(self.bounds[0], self.bounds[1])
        return self.field(moved, normals=True).normal

    def _march(self, rays: _Ray, key: int | None, recording: bool) -> RaySamples:
        length, most = self.step_length, self.recipe.max_samples
        occupancy = self._occupancy() if self.recipe.occupancy else None
        bounds = self.bounds if occupancy is None else self._occupied(occupancy)
        options = dict(occupancy=occupancy, key=key)
        samples = march_rays(rays.origin, rays.direction, bounds, step=length, **options)
        if recording and len(samples.t) > most:
            longer = length * 1.05 * len(samples.t) / most
            samples = march_rays(rays.origin, rays.direction, bounds, step=longer, **options)
        return samples

    def _evaluate(self, rays: _Ray, samples: RaySamples, colored: bool, normals: bool) -> tuple[Tensor, FieldOutput]:
        position, variance = sample_points(rays.origin, rays.direction, samples), None
        if not (colored or normals):
            return position, FieldOutput(self.field.density(position), position)
        if self.field.wants_variance:
            half, ray = 0.5 * samples.delta, samples.ray
            gaussian = cylinder_gaussian if rays.is_parallel else frustum_gaussian
            position, variance = gaussian(rays.origin[ray], rays.direction[ray], (samples.t - half).clamp(min=0),
                                          samples.t + half, rays.spread[ray])
        return position, self.field(position, variance, normals=normals)

    def _occupied(self, grid: OccupancyGrid) -> Tensor:
        """`_occupied_bounds`, kept until the cells change, because it waits for the device."""
        cells = grid.binary, grid.binary._version
        if self._box is None or self._box[0][0] is not cells[0] or self._box[0][1] != cells[1]:
            self._box = cells, _occupied_bounds(grid)
        return self._box[1]

    def _occupancy(self) -> OccupancyGrid:
        return OccupancyGrid(self.occupancy_value, self.occupancy_binary, self.bounds)


def _occupied_bounds(grid: OccupancyGrid) -> Tensor:
    """Corners [2,3] of the smallest box around all occupied cells: marching only there is several times faster. The
    whole box if no cell is occupied."""
    low, high = [], []
    for axis in range(3):
        cells = grid.binary.movedim(axis, 0).flatten(1).any(1).nonzero()[:, 0].tolist()
        low.append(cells[0] if cells else 0)
        high.append(cells[-1] + 1 if cells else grid.resolution)
    cell = (grid.bounds[1] - grid.bounds[0]) / grid.resolution
    return grid.bounds[0] + torch.tensor([low, high]).to(cell) * cell


def _joined(parts: list[Samples]) -> Samples:
    """Concatenates the samples of consecutive chunks of rays."""
    if len(parts) == 1:
        return parts[0]
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + part.rays)
    columns = {name: None if getattr(parts[0], name) is None else torch.cat([getattr(part, name) for part in parts])
               for name in ("t", "delta", "weights", "density", "normal", "direction", "nearby", "gradient")}
    return Samples(torch.cat([part.ray + start for part, start in zip(parts, starts)]), starts[-1], **columns)
