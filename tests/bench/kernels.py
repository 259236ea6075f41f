"""The kernels, at the sizes of a training step and of an export."""
from __future__ import annotations

import math
from dataclasses import replace
from typing import Callable, Iterator

import torch
from torch import Tensor

from distill3d.kernels.encode.hash_grid import HashGrid, encode_hash_grid
from distill3d.kernels.lens import to_clip
from distill3d.kernels.raster.antialias import EdgeFaces, antialias
from distill3d.kernels.raster.interpolate import interpolate
from distill3d.kernels.raster.rasterize import rasterize
from distill3d.kernels.raster.triangle_ids import triangle_ids
from distill3d.kernels.splat.splat import splat
from distill3d.kernels.surface.closest import closest_points
from distill3d.kernels.surface.isosurface import isosurface
from distill3d.kernels.surface.marching_tets import marching_tets
from distill3d.kernels.surface.tet_grid import tet_grid
from distill3d.kernels.uv.bake import covered_texels, dilate
from distill3d.kernels.uv.box_atlas import box_atlas
from distill3d.kernels.volume.composite import accumulate, composite
from distill3d.kernels.volume.march import march_rays
from distill3d.kernels.volume.occupancy import new_occupancy
from distill3d.nodes.assets.mesh import Mesh
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.export.unwrap_uv import unwrap_uv

from . import peers
from .case import Case

RADIUS = 1.15


def kernel_cases(quick: bool, device: torch.device) -> Iterator[Callable[[], Case]]:
    """Each case as a function that makes it, so that only one holds memory at a time."""
    sizes = ([12], [20_000], [(16, 1)], [32], [(32, 64)], [128], [10], [16], [16], [16], [16], [(32, 64)],
             [(500, 32)]) if quick else (
        [16], [200_000], [(32, 4)], [64, 128], [(100, 256)], [512, 2048], [14, 17], [100, 700], [32, 100], [64, 128],
        [64, 128], [(100, 256), (316, 512)], [(5000, 128), (50_000, 256)])
    for make, column in zip((_hash_grid, _composite, _march, _isosurface, _triangle_ids, _bake, _closest, _boxes,
                             _xatlas, _tet_grid, _marching_tets, _draw, _splats), sizes):
        for size in column:
            yield lambda make=make, size=size: make(size, quick, device)


def _hash_grid(log2_points: int, quick: bool, device: torch.device) -> Case:
    layout = HashGrid(log2_size=14) if quick else HashGrid()
    x = torch.rand(2**log2_points, 3, generator=_generator()).to(device)
    table = _leaf(torch.randn(layout.entries, layout.features, generator=_generator()), device)
    return Case("hash grid encode", f"2^{log2_points} points, {layout.levels} x 2^{layout.log2_size}",
                lambda: encode_hash_grid(x, table, layout), [table], "encode_hash_grid", [x, table],
                peers.hash_grid_peers(x, layout))


def _composite(samples: int, quick: bool, device: torch.device) -> Case:
    rays = samples // 50
    ray = torch.randint(rays, (samples,), generator=_generator()).sort().values.to(device)
    density = _leaf(10 * torch.rand(samples, generator=_generator()), device)
    rgb = _leaf(torch.rand(samples, 3, generator=_generator()), device)
    delta = torch.full_like(density, 0.02).detach()

    def run() -> Tensor:
        weights, opacity = composite(density, delta, ray, rays)
        return accumulate(weights, rgb, ray, rays) + opacity[:, None]

    return Case("composite, accumulate", f"{samples} samples, {rays} rays", run, [density, rgb], "composite",
                [density, delta, rgb, ray], peers.composite_peers(density, delta, rgb, ray, rays))


def _march(size: tuple[int, int], quick: bool, device: torch.device) -> Case:
    pixels, views = size
    origins, directions = (part.reshape(-1, 3) for part in turntable(views, 15.0, 3.2, 40.0, pixels).to(device).rays())
    grid = new_occupancy(RADIUS, 32, device)
    line = torch.linspace(-RADIUS, RADIUS, 32, device=device)
    grid = replace(grid, binary=torch.stack(torch.meshgrid(line, line, line, indexing="ij")).norm(dim=0) < 0.7)
    step = 2 * math.sqrt(3) * RADIUS / 80
    return Case("march rays", f"{pixels} x {pixels} x {views}, occupancy 32^3",
                lambda: march_rays(origins, directions, RADIUS, step=step, occupancy=grid).t, kernel="march_rays",
                inputs=[origins, directions, grid.binary], peers=peers.march_peers(origins, directions, grid, step))


def _isosurface(size: int, quick: bool, device: torch.device) -> Case:
    line = torch.linspace(-RADIUS, RADIUS, size)
    x, y, z = torch.meshgrid(line, line, line, indexing="ij")
    values = _leaf(0.7 + 0.1 * torch.sin(9 * x) * torch.sin(9 * y) - torch.sqrt(x * x + y * y + z * z), device)
    bounds = torch.tensor([[-RADIUS] * 3, [RADIUS] * 3], device=device)
    return Case("isosurface", f"{size}^3", lambda: isosurface(values, 0.0, bounds)[0], [values])


def _tet_grid(size: int, quick: bool, device: torch.device) -> Case:
    return Case("tet grid", f"{size}", lambda: tet_grid((size, size, size), device)[0])


def _marching_tets(size: int, quick: bool, device: torch.device) -> Case:
    vertices, tets = tet_grid((size, size, size), device)
    x, y, z = (vertices.cpu() * (2 * RADIUS / size) - RADIUS).unbind(1)
    sdf = _leaf(torch.sqrt(x * x + y * y + z * z) - 0.7 - 0.1 * torch.sin(9 * x) * torch.sin(9 * y), device)
    vertices.requires_grad_()
    return Case("marching tets", f"{size}, {len(tets)} tets", lambda: marching_tets(vertices, sdf, tets)[0],
                [vertices, sdf])


def _triangle_ids(size: tuple[int, int], quick: bool, device: torch.device) -> Case:
    rings, pixels = size
    vertices, faces = _torus(rings, device)
    camera = turntable(1, 30.0, 3.2, 40.0, pixels).to(device)
    positions = to_clip(vertices, camera.c2w, camera.fovy, pixels, pixels)
    return Case("triangle ids", f"{len(faces)} faces, {pixels}^2",
                lambda: triangle_ids(positions, faces, pixels, pixels),
                kernel="triangle_ids", inputs=[positions, faces])


def _draw(size: tuple[int, int], quick: bool, device: torch.device) -> Case:
    rings, pixels = size
    vertices, faces = _torus(rings, device)
    camera, edges = turntable(1, 30.0, 3.2, 40.0, pixels).to(device), EdgeFaces.of(faces)
    leaf = _leaf(vertices, device)

    def project(vertices: Tensor) -> Tensor:
        return to_clip(vertices, camera.c2w, camera.fovy, pixels, pixels)

    def run() -> Tensor:
        positions = project(leaf)
        rast = rasterize(positions, faces, (pixels, pixels))
        return antialias(interpolate(leaf, rast, faces), rast, positions, faces, edges)

    return Case("rasterise, antialias", f"{len(faces)} faces, {pixels}^2", run, [leaf], "triangle_ids", [leaf, faces],
                peers.draw_peers(vertices, faces, project, pixels))


def _splats(size: tuple[int, int], quick: bool, device: torch.device) -> Case:
    """On a sphere, as large as training begins with: the root mean square distance of the three nearest."""
    count, pixels = size
    generator = _generator()
    normals, rotations, sizes, colours = (torch.randn(count, width, generator=generator) for width in (3, 4, 3, 3))
    scales = math.sqrt(8 * 0.6**2 / count) * torch.exp(0.4 * sizes)
    opacities = torch.rand(count, 1, generator=generator)
    leaves = [_leaf(one, device) for one in (0.6 * torch.nn.functional.normalize(normals), rotations, scales, opacities,
                                             torch.sigmoid(colours))]
    camera = turntable(1, 20.0, 2.5, 40.0, pixels).to(device)

    def run() -> Tensor:
        found = splat(*leaves, camera.c2w, camera.fovy, pixels, pixels)
        return torch.cat([found.features, found.opacity, found.depth], -1)

    return Case("splats", f"{count} Gaussians, {pixels}^2", run, leaves, "splat", leaves,
                peers.splat_peers(leaves, camera))


def _bake(size: int, quick: bool, device: torch.device) -> Case:
    vertices, faces = _torus(32 if quick else 100, device)
    uv, faces_uv, source = box_atlas(vertices, faces)

    def run() -> Tensor:
        texel, position = covered_texels(uv, faces_uv, vertices[source], faces_uv, size)
        covered = torch.zeros(size * size, dtype=torch.bool, device=device)
        covered[texel] = True
        texture = position.new_zeros(size * size, 3).index_copy(0, texel, position)
        return dilate(texture.view(size, size, 3), covered.view(size, size), 8)

    return Case("bake texture", f"{len(faces)} faces, {size}^2", run)


def _closest(log2_points: int, quick: bool, device: torch.device) -> Case:
    vertices, faces = _torus(32 if quick else 100, device)
    points = vertices[torch.randint(len(vertices), (2**log2_points,), generator=_generator()).to(device)]
    points = points + 0.01 * torch.randn(points.shape, generator=_generator()).to(device)
    return Case("nearest on mesh", f"2^{log2_points} points, {len(faces)} faces",
                lambda: closest_points(points, vertices, faces, 0.1)[1])


def _boxes(rings: int, quick: bool, device: torch.device) -> Case:
    vertices, faces = _torus(rings, device)
    return Case("unwrap, boxes", f"{len(faces)} faces", lambda: box_atlas(vertices, faces)[0])


def _xatlas(rings: int, quick: bool, device: torch.device) -> Case:
    """In its own process, whose start is part of the time and whose memory is not counted."""
    mesh = Mesh(*_torus(rings, torch.device("cpu")))
    return Case("unwrap, xatlas", f"{len(mesh.faces)} faces", lambda: unwrap_uv(mesh).uv)


def _torus(rings: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """A torus of `rings` x `rings` quads around z: vertices [V,3], faces [F,3]."""
    index = torch.arange(rings)
    angle = index * (2 * math.pi / rings)
    u, v = torch.meshgrid(angle, angle, indexing="ij")
    vertices = torch.stack([(0.7 + 0.3 * v.cos()) * u.cos(), (0.7 + 0.3 * v.cos()) * u.sin(), 0.3 * v.sin()], -1)
    i, j = torch.meshgrid(index, index, indexing="ij")
    a, b = i * rings + j, (i + 1) % rings * rings + j
    c, d = (i + 1) % rings * rings + (j + 1) % rings, i * rings + (j + 1) % rings
    faces = torch.stack([torch.stack([a, b, c], -1), torch.stack([a, c, d], -1)], 2)
    return vertices.reshape(-1, 3).to(device), faces.reshape(-1, 3).to(device)


def _leaf(values: Tensor, device: torch.device) -> Tensor:
    return values.to(device).requires_grad_()


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
