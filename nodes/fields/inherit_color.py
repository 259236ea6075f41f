"""Gives a new field the colours of the volume that its surface was extracted from."""
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

POINTS = 1 << 15  # training points on the surface
BATCH = 1 << 12
RATE = 0.01


def inherit_color(scene: nn.Module, surface: Surface, grid: FeatureGrid, box: Tensor, steps: int, seed: int,
                  tick: Tick = no_tick) -> FeatureGrid:
    """A feature grid for a new field, with which `surface` has the colours of the volume that it was extracted from.

    scene  a built volume scene
    grid   layout of a new feature grid; box [2,3] its extent
    steps  of Adam that train a new feature grid

    The table and feature head of a hash grid are copied with their box, so that every point keeps its features. For
    other volumes a new grid is trained until the scene's material gives its features the colours that the volume shows
    at the surface; the new scene then needs a material with the same activation.
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
    """Points on the surface, their normals, and the colours of the volume there, [POINTS,3] each."""
    face, weight = spread_points(surface.vertices, surface.faces, POINTS)
    corners = surface.faces[face]
    points, normals = ((weight[..., None] * values[corners]).sum(1) for values in (surface.vertices, surface.normals))
    normals = F.normalize(normals, dim=1)
    return points, normals, surface_color(scene, points, normals)
