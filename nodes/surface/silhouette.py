"""The density threshold whose surface looks like the volume, by comparing silhouettes."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...kernels.raster.triangle_ids import triangle_ids
from ..core.cameras import Cameras, orbit
from ..core.tick import Tick, no_tick

VIEWS = 8
ELEVATIONS = (20.0, -20.0)
# Thresholds whose IoU differs by less than this are equally good; the middle one is the most robust.
TIE = 0.001


@dataclass(frozen=True)
class SceneViews:
    """Renderings of the scene: cameras (B views), rgb [B,H,W,3] over white, opaque [B,H,W] bool (opacity > 0.5)."""

    cameras: Cameras
    rgb: Tensor
    opaque: Tensor


@torch.no_grad()
def scene_views(scene: nn.Module, size: int = 64, tick: Tick = no_tick) -> SceneViews:
    """The scene's own unlit pictures from VIEWS directions all around, framed so that its content fills them."""
    corner = float(scene.bounds.abs().amax(0).norm())
    azimuth = torch.arange(VIEWS) * (2 * math.pi / VIEWS)
    elevation = torch.tensor([math.radians(ELEVATIONS[i % len(ELEVATIONS)]) for i in range(VIEWS)])
    fovy = 2 * math.asin(1 / 3)                          # sees a ball around the bounds from 3 radii
    cameras = orbit(azimuth, elevation, 3 * corner, fovy, size, size).to(scene.bounds.device)
    for zoom in (0, 1):                                  # the second pass frames small content
        seen = _render(scene, cameras.resized(size // 2, size // 2), lambda share: tick(0.2 * (zoom + share)))
        content = seen.opaque.any(0).nonzero()
        if len(content):
            reach = float((content + 0.5 - size / 4).abs().amax()) + 1.5
            cameras = replace(cameras, fovy=2 * torch.atan(min(1.0, reach / (size / 4)) * torch.tan(cameras.fovy / 2)))
    return _render(scene, cameras, lambda share: tick(0.4 + 0.6 * share))


def _render(scene: nn.Module, cameras: Cameras, tick: Tick) -> SceneViews:
    rgb, opaque = [], []
    for view in range(len(cameras)):
        tick(view / len(cameras))
        seen = scene.render(cameras.take([view]), wanted=("rgb", "albedo", "opacity"), shading="albedo")
        color = seen.rgb if seen.albedo is None else seen.albedo + (1 - seen.opacity)
        rgb.append(color.detach())
        opaque.append(seen.opacity[..., 0].detach() > 0.5)
    return SceneViews(cameras, torch.cat(rgb), torch.cat(opaque))


@torch.no_grad()
def highest_along_rays(values: Tensor, bounds: Tensor, cameras: Cameras) -> Tensor:
    """Largest value of the grid along each pixel's ray [B,H,W]; -inf where a ray misses the grid.

    values [X,Y,Z] with its first and last samples on bounds [2,3]. A pixel is in the silhouette of the level set
    values = t exactly if this is above t, for all t at once. Trilinear, two samples per cell of the grid.
    """
    steps = 2 * max(values.shape)
    picture = []
    for view in range(len(cameras)):
        origin, direction = (ray[0].reshape(-1, 3) for ray in cameras.take([view]).rays())
        meet = (bounds[:, None] - origin) / torch.where(direction.abs() < 1e-9, 1e-9, direction)        # [2,P,3]
        enter, leave = meet.amin(0).amax(1).clamp(min=0), meet.amax(0).amin(1)
        hits = (leave > enter).nonzero().squeeze(1)
        highest = torch.full_like(enter, -torch.inf)
        for part in hits.split(max(1, (1 << 20) // steps)):
            share = (torch.arange(steps, device=values.device) + 0.5) / steps
            t = enter[part, None] + (leave - enter)[part, None] * share
            x = origin[part, None] + t[..., None] * direction[part, None]
            grid = (2 * (x - bounds[0]) / (bounds[1] - bounds[0]) - 1).flip(-1)             # grid_sample wants z, y, x
            found = F.grid_sample(values[None, None], grid[None, None], align_corners=True, padding_mode="border")
            highest[part] = found[0, 0, 0].amax(1)
        picture.append(highest.view(cameras.height, cameras.width))
    return torch.stack(picture)


def best_threshold(highest: Tensor, opaque: Tensor) -> tuple[float, float]:
    """The threshold whose silhouette agrees best with the scene's.

    highest  [...] largest density along each ray
    opaque   [...] bool, same shape: the scene's own silhouette, with at least one pixel

    Returns the threshold (> 0) and the intersection over union of the silhouettes there, over all views at once.
    Exact: all thresholds that change a silhouette are compared, by one sort.
    """
    highest, order = highest.flatten().sort(descending=True)
    inside = opaque.flatten()[order]
    valid = int((highest > 0).sum())
    if valid == 0:
        return 0.0, 0.0
    both = inside.cumsum(0)[:valid].double()
    drawn = torch.arange(1, valid + 1, device=both.device)
    overlap = both / (drawn + int(inside.sum()) - both)
    best = float(overlap.amax())
    ties = (overlap >= best - TIE).nonzero().squeeze(1)
    last = int(ties[len(ties) // 2])                      # the last ray inside the silhouette
    below = max(float(highest[last + 1]), 0.0) if last + 1 < len(highest) else 0.0
    return (float(highest[last]) + below) / 2, best


def silhouette_iou(a: Tensor, b: Tensor) -> float:
    """Intersection over union of two bool masks of one shape, over all views at once; 1 for two empty ones."""
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


@torch.no_grad()
def drawn_silhouette(vertices: Tensor, faces: Tensor, cameras: Cameras) -> Tensor:
    """[B,H,W] bool: the pixels whose centres see the mesh, vertices [V,3], faces [F,3]."""
    seen = []
    for view in range(len(cameras)):
        one = cameras.take([view])
        far = 2 * float(one.position.norm() + vertices.norm(dim=1).amax()) + 1
        clip = one.to_clip(vertices, near=far * 1e-4, far=far)
        seen.append(triangle_ids(clip, faces, one.height, one.width) > 0)
    return torch.cat(seen)
