"""Initial surfaces: signed distances, negative inside."""
from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from ..comfy import io
from ..core.errors import DistillError


@dataclass(frozen=True)
class InitialEllipsoid:
    """An ellipsoid around the origin. radii (x, y, z) in world units; three equal radii are a sphere."""

    radii: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self):
        if not min(self.radii) > 0:
            raise DistillError(f"Initial radii must be positive, got {self.radii}.")

    def sdf(self, x: Tensor) -> Tensor:
        """[N] at world points [N,3]: (|x / radii| - 1) times the smallest radius. Exact for a sphere; otherwise a lower
        bound that is exact along the shortest axis."""
        radii = torch.tensor(self.radii, device=x.device, dtype=x.dtype)
        return ((x / radii).norm(dim=-1) - 1) * radii.amin()


@dataclass(frozen=True)
class InitialValues:
    """Signed distances [V] at the vertices of a tet grid's lattice, world units."""

    values: Tensor = field(compare=False)

    def sdf(self, x: Tensor) -> Tensor:
        if len(x) != len(self.values):
            raise DistillError(f"This tet grid has {len(x)} vertices, but its initial surface was sampled at "
                               f"{len(self.values)}. Use the resolution that it was made with.")
        return self.values.to(x)


@dataclass(frozen=True)
class InitialGrid:
    """Signed distances on a grid.

    values  [X,Y,Z] in cubic cells, world units
    box     corners of the grid: its first and last samples
    """

    values: Tensor = field(compare=False)
    box: tuple[tuple[float, float, float], tuple[float, float, float]]

    def sdf(self, x: Tensor) -> Tensor:
        """[N] at world points [N,3], trilinear. Outside the box: the value at the nearest point plus the distance to
        it."""
        low, high = torch.tensor(self.box, device=x.device, dtype=x.dtype)
        within = x.maximum(low).minimum(high)
        place = (2 * (within - low) / (high - low) - 1).flip(-1)                            # grid_sample takes z, y, x
        found = F.grid_sample(self.values.to(x)[None, None], place[None, None, None], align_corners=True)[0, 0, 0, 0]
        return found + (x - within).norm(dim=-1)


def ellipsoid_inputs() -> list:
    """The widgets of InitialEllipsoid."""
    return [io.Float.Input(f"radius_{axis}", default=0.5, min=0.01, max=100.0, step=0.01,
                           tooltip=f"Half the extent along {axis} of the initial ellipsoid, world units. Three equal "
                                   "radii are a sphere; published: 0.5.") for axis in "xyz"]
