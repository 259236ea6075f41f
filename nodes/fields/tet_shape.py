"""Distances and deformations of a tet grid: parameters of its vertices, or outputs of a network."""
from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..core.field import Replacement
from .feature_grid import FeatureGrid


class VertexShape(nn.Module):
    """A signed distance (group "sdf") and a deformation (group "deformation") of each vertex.

    Distances are stored in units of the shortest edge of the lattice, as in the published code: they are within about 1
    near the surface, so that a learning rate means the same at every resolution and size. The surface does not depend
    on the unit.

    The position of a vertex is grid + shift + reach * tanh(deformation). The shift is the deformation at the last
    subdivision: the surface stays where it was, and every vertex can move again by the reach of the finer lattice.

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
        """Adds the midpoints of edges [P,2] as vertices; reach [V+P]. Returns the replaced parameters."""
        before, (sdf, offset) = (self.sdf, self.deformation), self.forward(self.shift)
        self.reach, self.shift = reach, _with_middles(offset.detach(), edges)
        self.sdf = nn.Parameter(_with_middles(sdf.detach(), edges))
        self.deformation = nn.Parameter(torch.zeros_like(self.shift))
        rows = F.pad(torch.arange(len(sdf), device=sdf.device), (0, len(edges)), value=-1)
        return [Replacement(new, old, rows) for new, old in zip((self.sdf, self.deformation), before)]

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return {"sdf": [self.sdf], "deformation": [self.deformation]}


class NetworkShape(nn.Module):
    """The initial distance plus four outputs of a hash grid with a network: distance and deformation (Fantasia3D).

    The network's distance is in world units, as published. Deformations of neighbours are similar, so the reach of the
    coarse lattice is kept at a subdivision and the surface does not move.
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
