"""The visible colour of a volume at its surface."""
from __future__ import annotations

import torch
from torch import Tensor, nn

from ..core.errors import DistillError
from ..core.scene import Scene
from ..core.tick import Tick, no_tick

POINTS_AT_ONCE = 1 << 18


def device_of(scene: nn.Module) -> torch.device:
    return scene.bounds.device


def check_volume(scene: Scene, node: str) -> None:
    """Raises DistillError unless the scene is a volume: a density field with a material."""
    if not scene.is_volume:
        raise DistillError(f"{node}: this scene ({type(scene).__name__}) has no density field. "
                           "Connect a scene of the Volume Renderer or the NeuS Renderer.")


@torch.no_grad()
def surface_color(scene: nn.Module, points: Tensor, normals: Tensor, *, outside: float | None = None,
                  inside: float | None = None, samples: int = 20, tick: Tick = no_tick) -> Tensor:
    """The unlit colour of surface points, seen along the normal.

    scene            a built Scene with `field` and `material`
    points, normals  [N,3], normals unit and outward; any device
    outside, inside  the rendered segment along the normal starts `outside` before the point and ends `inside` behind
                     it, world units. None: 1 % and 10 % of half the width of the scene's bounds
    samples          points on the segment, denser near the point

    Returns rgb [N,3] in [0,1], display-referred, on the device of `points`.

    A mesh extracted from a volume lies where the density passes a threshold, but the visible layer lies below it and is
    about 1 / density thick. Colours on the segment are therefore weighted as in volume rendering (Max 1995, eq. 3). If
    the segment is almost empty, the colour at its densest point is used.
    """
    device = device_of(scene)
    width = float((scene.bounds[1] - scene.bounds[0]).amax()) / 2
    outside, inside = 0.01 * width if outside is None else outside, 0.1 * width if inside is None else inside
    # Depths grow quadratically: fine steps for thin layers, and reach for soft ones.
    edges = torch.linspace(0, 1, samples + 1, device=device).square() * (outside + inside) - outside
    depth, delta = (edges[1:] + edges[:-1]) / 2, edges.diff()
    colors = torch.empty_like(points)
    step = max(1, POINTS_AT_ONCE // samples)
    for start in range(0, len(points), step):
        tick(start / len(points))
        place, normal = points[start:start + step].to(device), normals[start:start + step].to(device)
        x = place[:, None] - depth[:, None] * normal[:, None]
        albedo, density = _albedo(scene, x.reshape(-1, 3))
        albedo, optical = albedo.view(*x.shape), density.view(x.shape[:2]) * delta
        weight = torch.exp(optical - optical.cumsum(1)) * -torch.expm1(-optical)
        total = weight.sum(1, keepdim=True)
        densest = albedo.gather(1, density.view(x.shape[:2]).argmax(1)[:, None, None].expand(-1, 1, 3)).squeeze(1)
        seen = (weight[..., None] * albedo).sum(1) / total.clamp(min=1e-6)
        colors[start:start + step] = torch.where(total > 0.01, seen, densest).clamp(0, 1).to(colors)
    return colors


def _albedo(scene: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """albedo [N,3] and density [N] at x [N,3]."""
    needs_normal = scene.material.needs_normal("albedo")
    found = scene.field(x, normals=needs_normal)
    _, albedo = scene.material(found.features, found.normal, x, None, "albedo")
    return albedo, found.density
