"""A measure of a look times a scheduled weight: what every loss without parameters of its own becomes."""
from __future__ import annotations

from typing import Callable

from torch import Tensor

from ..core.errors import DistillError
from ..core.field import Surface
from ..core.loss import Look, Stateless, Term
from ..core.rendering import Rendering, Samples
from ..core.schedule import Schedule


class WeightedMeasure(Stateless):
    """measure(look) -> scalar, multiplied by `weight` at the step. The log holds both factors."""

    def __init__(self, measure: Callable[[Look], Tensor], weight: Schedule):
        self.measure, self.weight = measure, weight

    def __call__(self, look: Look) -> Term:
        value, weight = self.measure(look), look.at(self.weight)
        return Term(weight * value, {"value": value.detach(), "weight": weight})


def samples_of(rendering: Rendering, title: str, normals: bool = False) -> Samples:
    """The samples along the rays. Raises DistillError, beginning with the node's `title`, if the renderer has none."""
    samples = rendering.samples
    if samples is None:
        raise DistillError(f"{title}: this renderer has no samples along its rays. Use a Volume Renderer or a "
                           "NeuS Renderer, or remove this loss.")
    if normals and samples.normal is None:
        raise DistillError(f"{title}: this renderer gives no normals at its samples. Use a field with normals, "
                           "or remove this loss.")
    return samples


def surface_of(rendering: Rendering, title: str) -> Surface:
    """The triangles. Raises DistillError, beginning with the node's `title`, if the renderer draws none."""
    if rendering.surface is None:
        raise DistillError(f"{title}: this renderer draws no triangles. Use a Mesh Rasterizer, or remove this loss.")
    return rendering.surface
