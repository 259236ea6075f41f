"""Volumes made of an encoding of position and two heads, one for density and one for the material's features."""
from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import Linear

from ...kernels.volume.normals import analytic_normals, finite_difference_normals
from ..comfy import io
from ..core.errors import DistillError
from ..core.field import FieldOutput, VolumeField
from .initial import InitialDensity, cube, initial_inputs, radius_input

NORMALS = ("analytic", "finite difference")


@dataclass(frozen=True)
class VolumeSettings:
    """Settings that all encoded volumes share.

    radius   the volume fills [-radius, radius]^3
    normals  "analytic": by automatic differentiation of the density, exact, with a double backward pass in training;
             "finite difference": forward differences, smoother, three more evaluations of the density
    epsilon  step of the differences in world units; published 0.01
    """

    radius: float = 1.15
    normals: str = NORMALS[0]
    epsilon: float = 0.01
    initial: InitialDensity = field(default_factory=InitialDensity)

    def __post_init__(self):
        if self.normals not in NORMALS:
            raise DistillError(f'Normals "{self.normals}" are unknown. Use one of {", ".join(NORMALS)}.')
        if not self.epsilon > 0:
            raise DistillError(f"Epsilon must be positive, got {self.epsilon}.")


class EncodedVolume(VolumeField):
    """Density and features at world points.

    A subclass sets density_head and feature_head (modules from the encoding's width to 1 and to C) and defines
    `encode(x, variance)` [N,E] and `parameter_groups`. Differentiable in parameters and x, twice for analytic normals.
    """

    density_head: nn.Module
    feature_head: nn.Module

    def __init__(self, settings: VolumeSettings):
        super().__init__()
        self.settings = settings
        self.register_buffer("bounds", cube(settings.radius), persistent=False)

    def encode(self, x: Tensor, variance: Tensor | None) -> Tensor:
        raise NotImplementedError

    def density(self, x: Tensor) -> Tensor:
        return self._density(self.encode(x, None), x)

    def forward(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput:
        if not normals or not len(x):
            encoded = self.encode(x, variance)
            normal = torch.zeros_like(x) if normals else None
            return FieldOutput(self._density(encoded, x), self.feature_head(encoded), normal)
        if self.settings.normals == "finite difference":
            encoded = self.encode(x, variance)
            density = self._density(encoded, x)
            _, normal = finite_difference_normals(self.density, x, self.settings.epsilon, density=density)
            return FieldOutput(density, self.feature_head(encoded), normal)
        return self._with_analytic_normals(x, variance)

    def _density(self, encoded: Tensor, x: Tensor) -> Tensor:
        return self.settings.initial.density(self.density_head(encoded)[:, 0], x)

    def _with_analytic_normals(self, x: Tensor, variance: Tensor | None) -> FieldOutput:
        kept: list[Tensor] = []

        def density_at(points: Tensor) -> Tensor:
            kept.append(self.encode(points, variance))
            return self._density(kept[-1], points)

        # The host runs nodes in inference mode, which allows no gradients. Leaving it would enable them, wanted or not.
        recording = torch.is_grad_enabled()
        with torch.inference_mode(False), torch.set_grad_enabled(recording):
            density, normal = analytic_normals(density_at, x, create_graph=recording)
            features = self.feature_head(kept[-1])
        return FieldOutput(density, features, normal)


def head(width_in: int, width: int, width_out: int, hidden: int = 1) -> nn.Sequential:
    """An MLP with `hidden` hidden layers, ReLU and no biases, as published for hash grids."""
    layers: list[nn.Module] = []
    for before in (width_in, *[width] * (hidden - 1)):
        layers += [Linear(before, width, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, Linear(width, width_out, bias=False))


def settings_inputs(normals: str = NORMALS[0]) -> list:
    """The widgets of VolumeSettings; `settings_of` takes their values."""
    return [
        radius_input(),
        io.Combo.Input("normals", options=list(NORMALS), default=normals,
                       tooltip="How surface normals are computed. Analytic normals are exact, finite differences "
                               "smoother."),
        io.Float.Input("epsilon", default=0.01, min=0.0001, max=1.0, step=0.0001, round=False,
                       tooltip="Step of the finite differences in world units."),
        *initial_inputs(),
    ]


def settings_of(radius: float, normals: str, epsilon: float, activation: str, blob: str, blob_strength: float,
                blob_spread: float) -> VolumeSettings:
    return VolumeSettings(radius, normals, epsilon, InitialDensity(activation, blob, blob_strength, blob_spread))
