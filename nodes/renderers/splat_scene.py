"""The scene of a Splat Renderer: Gaussians rasterised by tiles, with optional deferred shading."""
from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.quaternion import rotation_matrices
from ...kernels.splat.splat import Splatted, splat
from ...kernels.upload import upload
from ..assets.splat import Splat, seen_colors
from ..core.cameras import Cameras
from ..core.rendering import Light, Rendering
from ..core.rng import Streams
from .field_scene import FieldScene

if TYPE_CHECKING:
    from .splat_renderer import SplatRenderer

_LIT = ("shaded", "textureless")


class SplatScene(FieldScene):
    """A Scene (see nodes.core.scene) of a field of Gaussians and a background. Depth is the distance along the ray
    times opacity. Colours are shaded only if `shading` asks for it and there is a light.

    Gaussians hold their own colours, unlit. The normal of a Gaussian is its shortest axis, towards the camera. This
    holds for trained Gaussians, which are flat and lie in the surface; initial ones are round and their normals mean
    nothing.
    """

    title = "Splat Renderer"
    recipe: "SplatRenderer"

    @property
    def radius(self) -> float:
        return self.field.radius

    def _mode(self, light: Light | None, step: int, streams: Streams | None, shading: str | None) -> str:
        return shading if light is not None and shading in _LIT else "albedo"

    def _render(self, cameras, light, wanted, mode, streams, recording) -> Rendering:
        cloud = self.field.splat()
        features = {"albedo": seen_colors(cloud, cameras)}
        if "normal" in wanted or mode in _LIT:
            features["normal"] = _normals(cloud, cameras)
        drawn = self._draw(cloud, features, cameras, recording and streams is not None)
        found = dict(zip(features, drawn.features.split(3, -1)), opacity=drawn.opacity, depth=drawn.depth)
        if wanted & {"rgb", "background"}:
            found["background"] = self.background(cameras.rays()[1], streams)
        if "rgb" in wanted:
            color = _shaded(found, cameras, light, mode) if mode in _LIT else found["albedo"]
            found["rgb"] = color + (1 - drawn.opacity) * found["background"]
        return Rendering(**{name: image for name, image in found.items() if name in wanted})

    def _draw(self, cloud: Splat, features: dict[str, Tensor], cameras: Cameras, watched: bool) -> Splatted:
        """watched: whether the field gets the gradients of the projected centers, for densification."""
        values = list(features.values())
        if len(values) > 1:
            values = [value.expand(len(cameras), -1, -1) for value in values]
        drawn = splat(cloud.positions, cloud.rotations, cloud.scales, cloud.opacities, torch.cat(values, -1),
                      cameras.c2w, cameras.lens, cameras.height, cameras.width, antialiased=self.recipe.antialiased)
        if watched and drawn.centers.requires_grad:
            # Published thresholds are for the loss of one view, and lengths in units of half an image.
            unit = upload(0.5 * len(cameras) * torch.tensor([cameras.width, cameras.height]), drawn.centers.device)
            # The hook must hold no reference back to the centers: such a cycle would never be freed.
            field, radii = self.field, drawn.radii
            drawn.centers.register_hook(lambda gradient: field.watch(gradient.detach() * unit, radii))
        return drawn


def _normals(cloud: Splat, cameras: Cameras) -> Tensor:
    """The shortest axis of each Gaussian, towards each camera: [B,N,3]."""
    shortest = cloud.scales.argmin(1)[:, None, None].expand(-1, 3, 1)
    axis = rotation_matrices(cloud.rotations).gather(2, shortest).squeeze(2)
    away = (cameras.toward(cloud.positions) * axis).sum(-1, keepdim=True) > 0
    return torch.where(away, -axis, axis)


def _shaded(found: dict[str, Tensor], cameras: Cameras, light: Light, mode: str) -> Tensor:
    """Deferred shading: premultiplied colour [B,H,W,3] under a point light, by the normal of each pixel."""
    origin, direction = cameras.rays()
    position = origin + direction * found["depth"] / found["opacity"].clamp_min(1e-6)
    towards = F.normalize(light.position[:, None, None] - position, dim=-1)
    cosine = (F.normalize(found["normal"], dim=-1) * towards).sum(-1, keepdim=True).clamp_min(0)
    ambient, diffuse = (value.view(-1, 1, 1, 1) for value in (light.ambient, light.diffuse))
    return (found["opacity"] if mode == "textureless" else found["albedo"]) * (ambient + diffuse * cosine)
