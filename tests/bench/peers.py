"""The same work by other libraries, where the user has installed them. They all need CUDA."""
from __future__ import annotations

import importlib
from functools import lru_cache
from types import ModuleType
from typing import Callable

import torch
from torch import Tensor

from distill3d.kernels.encode.hash_grid import HashGrid
from distill3d.kernels.volume.occupancy import OccupancyGrid
from distill3d.nodes.core.cameras import Cameras

from .case import Peer

MODULES = {"tiny-cuda-nn": "tinycudann", "nerfacc": "nerfacc", "nvdiffrast": "nvdiffrast.torch", "gsplat": "gsplat"}


def missing(device: torch.device) -> dict[str, str]:
    """Peers that cannot be timed on `device`, and why."""
    found = {name: _load(name, device.type) for name in MODULES}
    return {name: reason for name, reason in found.items() if isinstance(reason, str)}


@lru_cache(None)
def _load(name: str, kind: str) -> ModuleType | str:
    """The library's module, or why it is not used on devices of this kind."""
    if kind != "cuda":
        return "it needs a CUDA device"
    try:
        return importlib.import_module(MODULES[name])
    except Exception as error:  # libraries that compile themselves when imported raise anything
        return f"it cannot be imported ({type(error).__name__}: {error})"


def _peers(name: str, device: torch.device, make: Callable[[ModuleType], Peer]) -> list[Peer]:
    module = _load(name, device.type)
    return [] if isinstance(module, str) else [make(module)]


def hash_grid_peers(x: Tensor, layout: HashGrid) -> list[Peer]:
    """Its coordinates are shifted by half a cell, and a level's table may have other rows: as much work, other
    numbers."""
    def make(tcnn):
        encoding = tcnn.Encoding(3, {"otype": "HashGrid", "n_levels": layout.levels,
                                     "n_features_per_level": layout.features, "log2_hashmap_size": layout.log2_size,
                                     "base_resolution": layout.base,
                                     "per_level_scale": layout.growth}, dtype=torch.float32).to(x.device)
        return Peer("tiny-cuda-nn alone", lambda: encoding(x), list(encoding.parameters()))

    return _peers("tiny-cuda-nn", x.device, make)


def composite_peers(density: Tensor, delta: Tensor, rgb: Tensor, ray: Tensor, rays: int) -> list[Peer]:
    def make(nerfacc):
        own, color, start = (density.detach().clone().requires_grad_(), rgb.detach().clone().requires_grad_(),
                             torch.zeros_like(delta))

        def run() -> Tensor:
            weights = nerfacc.render_weight_from_density(start, delta, own, ray_indices=ray, n_rays=rays)[0]
            opacity = nerfacc.accumulate_along_rays(weights, values=None, ray_indices=ray, n_rays=rays)
            return nerfacc.accumulate_along_rays(weights, values=color, ray_indices=ray, n_rays=rays) + opacity

        return Peer("nerfacc alone", run, [own, color])

    return _peers("nerfacc", density.device, make)


def march_peers(origins: Tensor, directions: Tensor, grid: OccupancyGrid, step: float) -> list[Peer]:
    def make(nerfacc):
        estimator = nerfacc.OccGridEstimator(roi_aabb=grid.bounds.flatten().tolist(), resolution=grid.resolution,
                                             levels=1)
        estimator = estimator.to(origins.device)
        estimator.binaries.copy_(grid.binary[None])
        return Peer("nerfacc alone", lambda: estimator.sampling(origins, directions, render_step_size=step)[1])

    return _peers("nerfacc", origins.device, make)


def draw_peers(vertices: Tensor, faces: Tensor, project: Callable[[Tensor], Tensor], pixels: int) -> list[Peer]:
    """project: vertices [V,3] -> clip space [1,V,4]."""
    def make(dr):
        own, faces_int, context = (vertices.detach().clone().requires_grad_(), faces.int(),
                                   dr.RasterizeCudaContext(vertices.device))

        def run() -> Tensor:
            positions = project(own).contiguous()
            rast, _ = dr.rasterize(context, positions, faces_int, resolution=[pixels, pixels], grad_db=False)
            picture, _ = dr.interpolate(own[None], rast, faces_int)
            return dr.antialias(picture, rast, positions, faces_int)

        return Peer("nvdiffrast alone", run, [own])

    return _peers("nvdiffrast", vertices.device, make)


def splat_peers(leaves: list[Tensor], cameras: Cameras) -> list[Peer]:
    """leaves: positions [N,3], rotations [N,4] wxyz, scales [N,3], opacities [N,1], colours [N,3]."""
    def make(gsplat):
        own = [leaf.detach().clone().requires_grad_() for leaf in leaves]
        flip = torch.diag(cameras.c2w.new_tensor([1.0, -1.0, -1.0, 1.0]))  # its cameras look down +z, y down
        views = torch.linalg.inv(cameras.c2w @ flip)
        focal = 0.5 * cameras.height / torch.tan(0.5 * cameras.fovy)
        lens = torch.zeros(len(cameras), 3, 3).to(views)
        lens[:, 0, 0] = lens[:, 1, 1] = focal
        lens[:, 0, 2], lens[:, 1, 2], lens[:, 2, 2] = 0.5 * cameras.width, 0.5 * cameras.height, 1

        def run() -> Tensor:
            positions, rotations, scales, opacities, colors = own
            return gsplat.rasterization(positions, rotations, scales, opacities[:, 0], colors, views, lens,
                                        cameras.width, cameras.height, near_plane=0.01, packed=False)[0]

        return Peer("gsplat alone", run, own)

    return _peers("gsplat", cameras.c2w.device, make)
