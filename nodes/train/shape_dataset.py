"""Shape dataset: captioned pictures of random shapes from random views."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from ...kernels.shapes.render import render_shapes
from ..core.cameras import on_sphere, orbit
from ..core.errors import DistillError
from ..core.shapes import sample_shape, shape_parts

_CHUNK = 32  # images per random stream; part of the recipe, as another size gives other images


class ShapeImages(NamedTuple):
    """images uint8 [N, H, W, 3]; captions str [N]; azimuth and elevation float32 [N], degrees."""

    images: np.ndarray
    captions: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray


@dataclass(frozen=True)
class ShapeDataset:
    """Recipe of a dataset: the same recipe gives the same images.

    size            number of images N
    resolution      H = W, pixels
    seed            of every random choice
    min_elevation,
    max_elevation   degrees; 70 % uniform in the angle, 30 % uniform on the sphere
    distance        of the camera, +- distance_jitter, world
    fovy            degrees
    scale_jitter    relative, +-
    albedo_share    share of images without shading; the others have ambient light in [0.4, 1)
    """

    size: int = 60_000
    resolution: int = 32
    seed: int = 0
    min_elevation: float = -40.0
    max_elevation: float = 70.0
    distance: float = 3.2
    distance_jitter: float = 0.15
    fovy: float = 40.0
    scale_jitter: float = 0.04
    albedo_share: float = 0.3
    supersample: int = 3

    def render(self, progress: Callable[[int, int], None] | None = None, device="cpu") -> ShapeImages:
        """Render the dataset; progress(done, size) is called now and then."""
        if self.size < 1:
            raise DistillError(f"Shape Dataset: size is {self.size}. It must be at least 1.")
        chunks = []
        for start in range(0, self.size, _CHUNK):
            count = min(_CHUNK, self.size - start)
            chunks.append(self._chunk(start // _CHUNK, count, device))
            if progress is not None:
                progress(start + count, self.size)
        return ShapeImages(*(np.concatenate(column) for column in zip(*chunks)))

    def _chunk(self, index: int, count: int, device) -> ShapeImages:
        rng = np.random.default_rng((self.seed, index))
        shapes, *numbers = zip(*(self._draw(rng) for _ in range(count)))
        scale, azimuth, elevation, distance, jitter, ambient, background = (
            torch.as_tensor(np.array(values, dtype=np.float32)) for values in numbers
        )
        cameras = orbit(
            azimuth.deg2rad(), elevation.deg2rad(), distance, math.radians(self.fovy), self.resolution, self.resolution
        )
        light = torch.nn.functional.normalize(on_sphere(cameras.azimuth, cameras.elevation) + jitter, dim=-1)
        rendered = render_shapes(
            shape_parts(shapes, scale, device),
            cameras.c2w.to(device),
            cameras.fovy.to(device),
            self.resolution,
            self.supersample,
            light.to(device),
            ambient.to(device),
            background.to(device),
        )
        images = rendered["rgb"].mul(255.0).add(0.5).clamp(0, 255).byte().cpu().numpy()
        captions = np.array([shape.caption for shape in shapes])
        return ShapeImages(images, captions, azimuth.numpy(), elevation.numpy())

    def _draw(self, rng):
        """One shape and its numbers: scale, azimuth, elevation, distance, light jitter, ambient, background."""
        azimuth = rng.uniform(0.0, 360.0)
        low, high = self.min_elevation, self.max_elevation
        if rng.random() < 0.7:
            elevation = rng.uniform(low, high)
        else:
            elevation = math.degrees(math.asin(rng.uniform(math.sin(math.radians(low)), math.sin(math.radians(high)))))
        jitter = 0.5 * rng.normal(size=3) + (0.0, 0.0, 0.3)
        ambient = 1.0 if rng.random() < self.albedo_share else rng.uniform(0.4, 1.0)
        return (
            sample_shape(rng),
            1.0 + self.scale_jitter * rng.uniform(-1.0, 1.0),
            azimuth,
            elevation,
            self.distance + self.distance_jitter * rng.uniform(-1.0, 1.0),
            jitter,
            ambient,
            _background(rng),
        )


def _background(rng):
    """35 % white, 25 % grey, 40 % any colour: the prior must not tie an object to a background."""
    kind = rng.random()
    if kind < 0.35:
        return np.ones(3)
    return np.full(3, rng.random()) if kind < 0.6 else rng.random(3)


def load_or_render(
    dataset: ShapeDataset, path: str, progress: Callable[[int, int], None] | None = None, device="cpu"
) -> ShapeImages:
    """Read a dataset back from the npz at `path` when that holds the same recipe, else render and write it."""
    recipe = repr(dataset)
    if os.path.exists(path):
        with np.load(path) as stored:
            if str(stored["recipe"]) == recipe:
                return ShapeImages(*(stored[name] for name in ShapeImages._fields))
    images = dataset.render(progress, device)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(f"{path}.writing", "wb") as file:
        np.savez(file, recipe=recipe, **images._asdict())
    os.replace(f"{path}.writing", path)
    return images
