"""The colours of a volume for a surface that was found in it."""
from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.surface.spread import spread_points
from ..core.field import Surface
from ..core.tick import Tick, no_tick
from ..surface.color import surface_color
from .feature_grid import FeatureGrid

POINTS = 1 << 15  # on the surface that is learned from
BATCH = 1 << 12
RATE = 0.01


def inherit_color(scene: nn.Module, surface: Surface, grid: FeatureGrid, box: Tensor, steps: int, seed: int,
                  tick: Tick = no_tick) -> FeatureGrid:
    """The feature grid of a new field, so that `surface` looks like the volume that it was found in.

    scene  a built volume scene; grid, box [2,3]: layout and extent of a new feature grid

    A hash grid's encoding and feature head are copied, together with the box that they cover, so that every point of
    space keeps its features. For other volumes a new grid learns, in `steps` steps of Adam, features whose colour under
    the scene's material is that which the volume shows at its surface; the mesh needs a material with the same
    activation.
    """
    own = scene.field.color_grid()
    if own is not None:
        return own
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        network = grid.build(scene.material.channels, box).to(box.device)
        _learn(network, scene, surface, steps, tick)
    return replace(grid, learned=network.learned())


def _learn(network: nn.Module, scene: nn.Module, surface: Surface, steps: int, tick: Tick) -> None:
    points, normals, colors = _seen(scene, surface)
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, eps=1e-15)
    for step in range(steps):
        tick(step / steps)
        part = torch.randint(len(points), (BATCH,)).to(points.device)
        _, albedo = scene.material(network(points[part]), normals[part], points[part], None, "albedo")
        optimizer.zero_grad(set_to_none=True)
        F.mse_loss(albedo, colors[part]).backward()
        optimizer.step()


@torch.no_grad()
def _seen(scene: nn.Module, surface: Surface) -> tuple[Tensor, Tensor, Tensor]:
    """Points on the surface, their normals, and the colour [POINTS,3] that the volume shows there."""
    face, weight = spread_points(surface.vertices, surface.faces, POINTS)
    corners = surface.faces[face]
    points, normals = ((weight[..., None] * values[corners]).sum(1) for values in (surface.vertices, surface.normals))
    normals = F.normalize(normals, dim=1)
    return points, normals, surface_color(scene, points, normals)
