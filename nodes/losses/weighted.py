"""A measure of a rendering times a scheduled weight: what every loss without state of its own becomes."""
from __future__ import annotations

from typing import Callable

from torch import Tensor

from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.field import Surface
from ..core.loss import Stateless, Term
from ..core.rendering import Rendering, Samples
from ..core.rng import Streams
from ..core.schedule import Schedule


class WeightedMeasure(Stateless):
    """measure(rendering) -> scalar, multiplied by `weight` at the step; the log shows both before multiplying."""

    def __init__(self, measure: Callable[[Rendering], Tensor], weight: Schedule, total: int):
        self.measure, self.weight, self.total = measure, weight, total

    def __call__(self, rendering: Rendering, cameras: Cameras, step: int, streams: Streams) -> Term:
        value, weight = self.measure(rendering), self.weight.at(step, self.total)
        return Term(weight * value, {"value": value.detach(), "weight": weight})


def samples_of(rendering: Rendering, title: str, normals: bool = False) -> Samples:
    """The samples along the rays. Raises DistillError under the node's `title` where the renderer gives none."""
    samples = rendering.samples
    if samples is None:
        raise DistillError(f"{title}: this scene's renderer has no samples along its rays. Use a Volume Renderer or a "
                           "NeuS Renderer, or take this loss out.")
    if normals and samples.normal is None:
        raise DistillError(f"{title}: this scene's renderer gives no normals at its samples. Use a field with normals, "
                           "or take this loss out.")
    return samples


def surface_of(rendering: Rendering, title: str) -> Surface:
    """The triangles. Raises DistillError under the node's `title` where the renderer gives none."""
    if rendering.surface is None:
        raise DistillError(f"{title}: this scene's renderer draws no triangles. Use a Mesh Rasterizer, or take this loss out.")
    return rendering.surface
