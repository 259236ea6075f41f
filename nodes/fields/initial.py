"""The density activation of volumes, and the initial blob that is added before it."""
from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..comfy import io
from ..core.errors import DistillError

ACTIVATIONS = ("softplus", "exp")
BLOBS = ("magic3d blob", "dreamfusion blob", "none")
_LARGEST_EXPONENT = 15.0


def bounded_exp(x: Tensor) -> Tensor:
    """exp(x) up to x = 15, its tangent beyond: no overflow, no zero gradient, twice differentiable."""
    low = x.clamp(max=_LARGEST_EXPONENT)
    return torch.exp(low) * (1 + x - low)


@dataclass(frozen=True)
class InitialDensity:
    """density = scale * activation(raw + blob(x)).

    activation  "softplus" or "exp"
    blob        "magic3d blob": strength * (1 - |x| / spread), published with softplus, 10 and 0.5
                "dreamfusion blob": strength * exp(-|x|^2 / (2 spread^2)), published with exp, 5 and 0.2
                "none"
    scale       multiplies the density. Above 1, a surface can be opaque even with few samples per ray

    The blob is in world units, whatever the radius of the field, and is kept during training.
    """

    activation: str = "softplus"
    blob: str = "magic3d blob"
    strength: float = 10.0
    spread: float = 0.5
    scale: float = 1.0

    def __post_init__(self):
        if self.activation not in ACTIVATIONS:
            raise DistillError(f'Density activation "{self.activation}" is unknown. Use one of '
                               f'{", ".join(ACTIVATIONS)}.')
        if self.blob not in BLOBS:
            raise DistillError(f'Initial shape "{self.blob}" is unknown. Use one of {", ".join(BLOBS)}.')
        if self.spread <= 0 or self.scale <= 0:
            raise DistillError(f"Blob spread and density scale must be positive, got {self.spread} and {self.scale}.")

    def bias(self, x: Tensor) -> Tensor | None:
        """The blob [N] that is added to the raw density at world points [N,3]; None: no blob."""
        if self.blob == "none":
            return None
        squared = (x * x).sum(-1)
        if self.blob == "dreamfusion blob":
            return self.strength * torch.exp(squared / (-2 * self.spread ** 2))
        # The norm has no derivative at 0, where an odd grid has a node.
        return self.strength * (1 - torch.sqrt(squared + 1e-12) / self.spread)

    def activate(self, raw: Tensor) -> Tensor:
        """Density >= 0 of raw densities with the blob added."""
        density = F.softplus(raw) if self.activation == "softplus" else bounded_exp(raw)
        return density if self.scale == 1 else density * self.scale

    def density(self, raw: Tensor, x: Tensor) -> Tensor:
        """Density [N] >= 0 of raw densities [N] at world points [N,3]. Twice differentiable in both."""
        bias = self.bias(x)
        return self.activate(raw if bias is None else raw + bias)


def initial_inputs() -> list:
    """The widgets that every volume field shares; `InitialDensity` takes their values."""
    return [
        io.Combo.Input("activation", options=list(ACTIVATIONS), default=ACTIVATIONS[0],
                       tooltip="Activation of the density. Use softplus with the Magic3D blob, exp with the "
                               "DreamFusion blob."),
        io.Combo.Input("blob", options=list(BLOBS), default=BLOBS[0],
                       tooltip="Initial shape: a soft ball at the origin keeps the object in the middle."),
        io.Float.Input("blob_strength", default=10.0, min=-100.0, max=100.0, step=0.1,
                       tooltip="Raw density of the blob at its centre. Published: 10 for Magic3D, 5 for DreamFusion."),
        io.Float.Input("blob_spread", default=0.5, min=0.01, max=10.0, step=0.01,
                       tooltip="Size of the blob in world units. Published: 0.5 for Magic3D, 0.2 for DreamFusion."),
    ]


def radius_input():
    return io.Float.Input("radius", default=1.15, min=0.05, max=100.0, step=0.05,
                          tooltip="Half the side of the cube that bounds the scene, in world units. Published: 1 or 2 "
                                  "with cameras at distance 1.5 to 2. 1.15 fits the built-in prior's cameras.")


def cube(radius: float) -> Tensor:
    """Bounds [2,3] of [-radius, radius]^3."""
    if not radius > 0:
        raise DistillError(f"Radius must be positive, got {radius}.")
    return torch.tensor([[-radius] * 3, [radius] * 3], dtype=torch.float32)
