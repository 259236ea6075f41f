"""What a volume field answers at points."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


@dataclass
class FieldOutput:
    """density [N] >= 0, 1/length; features [N,C] before the material's activation; normal [N,3] unit or None."""

    density: Tensor
    features: Tensor
    normal: Tensor | None = None


class VolumeField(Protocol):
    """A torch module over world points. bounds [2,3]; wants_variance: integrated encodings ask for [N,3] variances."""

    bounds: Tensor
    wants_variance: bool

    def density(self, x: Tensor) -> Tensor: ...

    def __call__(self, x: Tensor, variance: Tensor | None = None, normals: bool = False) -> FieldOutput: ...

    def update(self, step: int, total: int) -> None: ...

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]: ...
