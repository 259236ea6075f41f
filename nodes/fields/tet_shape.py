"""Where a tet grid's distances and deformations come from: numbers at its vertices, or a network."""
from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.field import Replacement
from .feature_grid import FeatureGrid


class VertexShape(nn.Module):
    """A signed distance (group "sdf") and a deformation (group "deformation") of each vertex.

    Distances are stored in shortest edges of the lattice: near the surface they are within about 1, as in the published
    codes, so that a learning rate means the same at every resolution and size. The surface does not depend on their
    unit.

    A vertex stands at grid + shift + reach * tanh(deformation). The shift is what a deformation was when the lattice
    was last subdivided: the surface stays where it is and every vertex can move anew, in steps of the finer lattice.

    initial [V] distances, edge the shortest edge, reach [V]; world units
    """

    def __init__(self, initial: Tensor, edge: float, reach: Tensor, box: Tensor, features: FeatureGrid):
        super().__init__()
        self.register_buffer("reach", reach, persistent=False)
        self.sdf = nn.Parameter(initial / edge)
        self.deformation = nn.Parameter(initial.new_zeros(len(initial), 3))
        self.register_buffer("shift", initial.new_zeros(len(initial), 3))

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """sdf [V], shortest edges, and offset [V,3], world units, of the vertices at grid [V,3]."""
        return self.sdf, self.shift + self.reach[:, None] * torch.tanh(self.deformation)

    def refine(self, edges: Tensor, reach: Tensor) -> list[Replacement]:
        """The middles of edges [P,2] become vertices; reach [V+P]. Returns how the parameters were replaced."""
        before, (sdf, offset) = (self.sdf, self.deformation), self.forward(self.shift)
        self.reach, self.shift = reach, _with_middles(offset.detach(), edges)
        self.sdf = nn.Parameter(_with_middles(sdf.detach(), edges))
        self.deformation = nn.Parameter(torch.zeros_like(self.shift))
        rows = F.pad(torch.arange(len(sdf), device=sdf.device), (0, len(edges)), value=-1)
        return [Replacement(new, old, rows) for new, old in zip((self.sdf, self.deformation), before)]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"sdf": [self.sdf], "deformation": [self.deformation]}


class NetworkShape(nn.Module):
    """The initial distance plus four numbers of a hash grid and its network: distance, deformation (Fantasia3D).

    The network's distance is in world units, as published. Neighbours are deformed alike, so a finer lattice may be
    deformed as far as the coarse one: the surface need not move when it is subdivided.
    """

    def __init__(self, initial: Tensor, edge: float, reach: Tensor, box: Tensor, features: FeatureGrid):
        super().__init__()
        self.edge = edge
        self.register_buffer("reach", reach, persistent=False)
        self.register_buffer("initial", initial.clone())
        self.network = replace(features, learned=None).build(4, box)

    def forward(self, grid: Tensor) -> tuple[Tensor, Tensor]:
        """See VertexShape."""
        found = self.network(grid)
        return (self.initial + found[:, 0]) / self.edge, self.reach[:, None] * torch.tanh(found[:, 1:])

    def refine(self, edges: Tensor, reach: Tensor) -> list[Replacement]:
        self.initial, self.reach = _with_middles(self.initial, edges), _with_middles(self.reach, edges)
        return []

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return self.network.parameter_groups()


def _with_middles(values: Tensor, edges: Tensor) -> Tensor:
    """values [V,...] followed by their means over edges [P,2]."""
    return torch.cat([values, values[edges].mean(1)])
