"""The scene of a Mesh Rasterizer: rasterize, interpolate, shade, antialias."""
from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ...kernels.backend import prefer
from ...kernels.raster.antialias import EdgeFaces, antialias
from ...kernels.raster.footprint import uv_footprint
from ...kernels.raster.interpolate import interpolate
from ...kernels.raster.rasterize import rasterize
from ..core.cameras import Cameras
from ..core.field import Surface, SurfaceField
from ..core.rendering import Rendering
from .field_scene import FieldScene
from .shading import light_of

if TYPE_CHECKING:
    from .mesh_rasterizer import MeshRasterizer

_CHUNK = 2**18  # points that are shaded at once without recorded gradients
_COLORS = {"rgb", "albedo"}
_REMEMBERED = 2**18  # pixels of a training step whose activations are kept, about 260 bytes each


class MeshScene(FieldScene):
    """A Scene (see nodes.core.scene) of a surface field, a material and a background. Depth is the distance along the
    ray times opacity.

    Views are rendered one after the other, and above _REMEMBERED pixels again in the backward pass (gradient
    checkpointing), so that memory hardly grows with the batch. Silhouettes move with the vertices: all images are
    antialiased alike (kernels.raster.antialias). Faces are two-sided; normals are those of the surface.
    """

    title = "Mesh Rasterizer"

    def __init__(self, recipe: "MeshRasterizer", field: SurfaceField, material: nn.Module, background: nn.Module):
        super().__init__(recipe, field, material, background)
        self._edges: tuple[Tensor, EdgeFaces] | None = None

    @property
    @torch.no_grad()
    def radius(self) -> float | None:
        """Of the ball around the origin that holds the surface; None if the surface is empty."""
        vertices = self.field.surface().vertices
        return float(vertices.norm(dim=1).amax()) if len(vertices) else None

    def _render(self, cameras, light, wanted, mode, streams, recording) -> Rendering:
        surface = self.field.surface()
        draw = self._view
        if recording and len(cameras) > 1 and len(cameras) * cameras.height * cameras.width > _REMEMBERED:
            # Gradient checkpointing: only one view's activations exist at a time.
            draw = partial(checkpoint, self._view, use_reentrant=False, preserve_rng_state=False)
        planes = _planes(surface.vertices, cameras.position)
        views = [draw(surface, cameras, planes[view], view, light, wanted, mode, recording)
                 for view in range(len(cameras))]
        found = {name: torch.stack([view[name] for view in views]) for name in views[0]}
        if wanted & {"rgb", "background"}:
            found["background"] = self.background(cameras.rays()[1], streams)
        if "rgb" in wanted:
            found["rgb"] = found["rgb"] + (1 - found["opacity"]) * found["background"]
        rendering = Rendering(**{name: image for name, image in found.items() if name in wanted})
        if "surface" in wanted:
            rendering.surface = surface
        return rendering

    def _view(self, surface: Surface, cameras: Cameras, planes: tuple[float, float], view: int, light, wanted, mode,
              recording) -> dict[str, Tensor]:
        """Images [H,W,C] of one view by name, over black. Opacity is always among them."""
        with prefer(self.backend):  # the checkpoint calls this again in the backward pass
            return self._draw(surface, cameras, planes, view, light, wanted, mode, recording)

    def _draw(self, surface: Surface, cameras: Cameras, planes: tuple[float, float], view: int, light, wanted, mode,
              recording) -> dict[str, Tensor]:
        camera = cameras.take([view])
        positions = camera.to_clip(surface.vertices, *planes)
        rast = rasterize(positions, surface.faces, (camera.height, camera.width))
        seen = rast.detach()[..., 3].flatten().nonzero().squeeze(1)
        images = {"opacity": torch.ones_like(rast[0, ..., :1]).flatten(0, 1)[seen]}
        position = interpolate(surface.vertices, rast, surface.faces).flatten(0, 2)[seen]
        colored = bool(wanted & _COLORS)
        normal = None
        if "normal" in wanted or (colored and self.material.needs_normal(mode)):
            normal = F.normalize(interpolate(surface.normals, rast, surface.faces).flatten(0, 2)[seen], dim=-1)
        if colored:
            lit = light_of(light, torch.full_like(seen, view))
            found = self._color(surface, positions, rast, seen, position, normal, camera, lit, mode, recording)
            images.update({name: image for name, image in found.items() if name in wanted})
        if "depth" in wanted:
            images["depth"] = camera.toward(position)[0].norm(dim=-1, keepdim=True)
        if "normal" in wanted:
            images["normal"] = normal
        if "position" in wanted:
            images["position"] = position
        packed = torch.cat(list(images.values()), -1)
        canvas = packed.new_zeros(camera.height * camera.width, packed.shape[1]).index_copy(0, seen, packed)
        smooth = antialias(canvas.view(1, camera.height, camera.width, -1), rast, positions, surface.faces,
                           self._edge_faces(surface.faces))[0]
        return dict(zip(images, smooth.split([image.shape[1] for image in images.values()], -1)))

    def _color(self, surface, positions, rast, seen, position, normal, camera, light, mode,
               recording) -> dict[str, Tensor]:
        """rgb and albedo [N,3] of the N covered pixels."""
        uv = footprint = None
        if surface.uv is not None:
            uv = interpolate(surface.uv, rast, surface.faces_uv).flatten(0, 2)[seen]
            footprint = uv_footprint(positions, surface.faces, surface.uv, surface.faces_uv, rast).flatten()[seen]
        size = max(len(seen), 1) if recording else _CHUNK
        rgb, albedo = [], []
        for start in range(0, max(len(seen), 1), size):
            piece = slice(start, start + size)
            part = [None if whole is None else whole[piece] for whole in (position, uv, footprint, normal)]
            lit = None if light is None else light_of(light, torch.arange(len(seen), device=seen.device)[piece])
            direction = F.normalize(camera.toward(part[0])[0], dim=-1)
            found = self.material(self.field.features(*part[:3]), part[3], part[0], lit, mode, direction)
            rgb.append(found[0])
            albedo.append(found[1])
        return {"rgb": torch.cat(rgb), "albedo": torch.cat(albedo)}

    def _edge_faces(self, faces: Tensor) -> EdgeFaces:
        """The edges of the faces, kept until the field gives other faces."""
        if self._edges is None or self._edges[0] is not faces:
            self._edges = faces, EdgeFaces.of(faces)
        return self._edges[1]


def _planes(vertices: Tensor, eyes: Tensor) -> list[tuple[float, float]]:
    """Near and far clip plane that enclose all finite vertices, for each of the eyes [B,3]. Read from the device once
    for all views."""
    if not len(vertices):
        return [(1e-4, 1.0)] * len(eyes)
    farthest = []
    for eye in eyes.detach():
        distance = (vertices.detach() - eye).norm(dim=-1)
        farthest.append(distance.where(distance.isfinite(), -1.0).amax())
    planes = [2 * far + 1e-6 if far >= 0 else 1.0 for far in torch.stack(farthest).tolist()]
    return [(1e-4 * far, far) for far in planes]
