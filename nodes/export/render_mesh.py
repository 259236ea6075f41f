"""Unlit pictures of a mesh, comparable with the scene's own albedo."""
from __future__ import annotations

import torch
from torch import Tensor

from ...kernels.raster.interpolate import interpolate
from ...kernels.raster.rasterize import rasterize
from ...kernels.uv.bake import sample_texture
from ..assets.mesh import Mesh
from ..core.cameras import Cameras

GREY = 0.7


@torch.no_grad()
def render_mesh(mesh: Mesh, cameras: Cameras, *, background: float = 1.0,
                supersample: int = 2) -> tuple[Tensor, Tensor]:
    """Renders base colour: the texture (bilinear), else the vertex colours, else grey.

    mesh         on the device of the cameras
    background   grey value behind the mesh, in [0,1]
    supersample  rays per pixel along each axis, averaged

    Returns rgb [B,H,W,3], display-referred, and opacity [B,H,W,1]: the covered share of each pixel. One view at a
    time, memory O(H W supersample^2). No gradients. Both sides of a face are seen.
    """
    rgb, opacity = [], []
    for view in range(len(cameras)):
        one = cameras.take([view])
        far = 2 * float(one.position.norm() + mesh.vertices.norm(dim=1).amax()) + 1
        clip = one.to_clip(mesh.vertices, near=far * 1e-4, far=far)
        rast = rasterize(clip, mesh.faces, (one.height * supersample, one.width * supersample))
        covered = (rast[..., 3:] > 0).to(mesh.vertices.dtype)
        color = torch.where(covered > 0, _base_color(mesh, rast), background)
        rgb.append(_average(color, supersample))
        opacity.append(_average(covered, supersample))
    return torch.cat(rgb), torch.cat(opacity)


def _base_color(mesh: Mesh, rast: Tensor) -> Tensor:
    if mesh.texture is not None and mesh.uv is not None:
        return sample_texture(mesh.texture, interpolate(mesh.uv, rast, mesh.faces))
    if mesh.vertex_colors is not None:
        return interpolate(mesh.vertex_colors, rast, mesh.faces)
    return torch.full_like(rast[..., :3], GREY)


def _average(picture: Tensor, factor: int) -> Tensor:
    """[B,H*factor,W*factor,C] -> [B,H,W,C]."""
    batch, height, width, channels = picture.shape
    return picture.view(batch, height // factor, factor, width // factor, factor, channels).mean((2, 4))
