"""The scene of a NeuS Renderer: a VolumeScene whose weights come from a signed distance."""
from __future__ import annotations

from typing import TYPE_CHECKING, Sequence

import torch
from torch import Tensor, nn

from ...kernels.volume.composite import composite_alpha
from ...kernels.volume.march import RaySamples
from ...kernels.volume.neus import incidence, neus_alpha, weight_density
from ..core.errors import DistillError
from ..core.field import FieldOutput, Replacement, SignedDistanceField
from ..core.host_buffers import HostBuffers
from ..core.rng import Streams
from .volume_scene import VolumeScene

if TYPE_CHECKING:
    from .neus_renderer import NeuSRenderer


class NeuSScene(HostBuffers, VolumeScene):
    """See VolumeScene. The field is a SignedDistanceField; alphas are those of NeuS (Wang et al. 2021, eq. 13).

    Occupied cells are those that can have weight: near the surface, neither outside nor deep inside it.
    """

    weighs_by_normal = True
    on_host = ("annealing",)

    def __init__(self, recipe: "NeuSRenderer", field: SignedDistanceField, material: nn.Module, background: nn.Module):
        if not field.has_distance:
            raise DistillError(f"{recipe.title}: this field ({type(field).__name__}) has no signed distance. Connect a "
                               "Hash Grid SDF, or use the Volume Renderer.")
        super().__init__(recipe, field, material, background)
        # In the state, so that a trained scene renders as it did in training.
        self.register_buffer("annealing", torch.tensor(recipe.annealing.at(0, 1)))

    def _update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        self.annealing.fill_(self.recipe.annealing.at(step, total))
        return super()._update(step, total, streams)

    def _weights(self, found: FieldOutput, samples: RaySamples, direction: Tensor) -> tuple[Tensor, Tensor]:
        slope = incidence(found.gradient, direction, float(self.annealing))
        alpha = neus_alpha(found.sdf, slope, samples.delta, self.field.sharpness)
        return composite_alpha(alpha, samples.ray, samples.rays)

    def _visible(self, x: Tensor) -> Tensor:
        # Only one point of a cell is evaluated: the surface may be nearer by half the diagonal of the cell.
        cell = 0.5 * float((self.bounds[1] - self.bounds[0]).norm()) / self.recipe.occupancy
        sdf = self.field.sdf(x)
        return weight_density(sdf.sign() * (sdf.abs() - cell).clamp(min=0), self.field.sharpness)
