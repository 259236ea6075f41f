"""Shape dataset: captioned pictures of random shapes from random views."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from ...kernels.shapes.render import render_shapes
from ..comfy import DATASET, Node, io, seed_input
from ..core.cameras import on_sphere, orbit
from ..core.errors import DistillError
from ..core.state import write_atomically
from ..shapes.caption import sample_shape, shape_parts

_CHUNK = 32  # images per random stream; part of the recipe, because another size gives other images


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
    seed            for every random choice
    min_elevation,
    max_elevation   degrees; 70 % uniform in the angle, 30 % uniform on the sphere
    distance        of the camera, +- distance_jitter, world
    fovy            degrees
    scale_jitter    relative, +-
    albedo_share    share of images without shading; the others have ambient light in [0.4, 1)
    supersample     rays per pixel along each axis

    Raises DistillError for invalid numbers.
    """

    images: ClassVar[type] = ShapeImages

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

    def __post_init__(self):
        if min(self.size, self.resolution, self.supersample) < 1:
            raise DistillError(
                f"Shape Dataset: size is {self.size}, resolution {self.resolution}, supersample {self.supersample}. "
                "Each must be at least 1."
            )
        if not -90 <= self.min_elevation <= self.max_elevation <= 90:
            raise DistillError(
                f'Shape Dataset: "min_elevation" ({self.min_elevation}) and "max_elevation" ({self.max_elevation}) '
                "must lie within -90 .. 90 and in this order."
            )
        if not (self.distance > self.distance_jitter >= 0 and 0 < self.fovy < 180):
            raise DistillError(
                f"Shape Dataset: distance is {self.distance} +- {self.distance_jitter} and fovy {self.fovy}. The "
                "distance must stay above 0 and the field of view between 0 and 180 degrees."
            )

    def render(self, progress: Callable[[int, int], None] | None = None, device="cpu") -> ShapeImages:
        """Render the dataset. progress(done, size) is called now and then; an exception that it raises ends the
        work."""
        return render_chunks(self, _CHUNK, progress, device)

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
    """35 % white, 25 % grey, 40 % any colour, so that the prior does not associate an object with a background."""
    kind = rng.random()
    if kind < 0.35:
        return np.ones(3)
    return np.full(3, rng.random()) if kind < 0.6 else rng.random(3)


def render_chunks(dataset, length: int, progress: Callable[[int, int], None] | None, device):
    """dataset.images of dataset.size, drawn by dataset._chunk(index, count, device) in chunks of at most `length`."""
    chunks = []
    for start in range(0, dataset.size, length):
        count = min(length, dataset.size - start)
        chunks.append(dataset._chunk(start // length, count, device))
        if progress is not None:
            progress(start + count, dataset.size)
    return dataset.images(*(np.concatenate(column) for column in zip(*chunks)))


def load_or_render(dataset, path: str, progress: Callable[[int, int], None] | None = None, device="cpu"):
    """The images of a dataset recipe: read from the npz at `path` if that holds the same recipe, else rendered and
    written there. dataset.images is their NamedTuple of arrays."""
    recipe = repr(dataset)
    try:
        with np.load(path) as stored:
            if str(stored["recipe"]) == recipe:
                return dataset.images(*(stored[name] for name in dataset.images._fields))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass  # missing or unreadable: render again
    images = dataset.render(progress, device)
    file = BytesIO()
    np.savez(file, recipe=recipe, **images._asdict())
    write_atomically(path, file.getbuffer())
    return images


class ShapeDatasetNode(Node):
    advanced = ("min_elevation", "max_elevation", "distance", "distance_jitter", "fovy", "scale_jitter",
                "albedo_share", "supersample")

    @classmethod
    def define_schema(cls):
        def number(id, default, low, high, step, tooltip):
            return io.Float.Input(id, default=default, min=low, max=high, step=step, round=False, tooltip=tooltip)

        return io.Schema(
            node_id="Distill3D_ShapeDataset", display_name="Shape Dataset", category="Distill3D/train",
            description="Captioned pictures of random shapes from random views, drawn on demand.",
            search_aliases=["training images", "procedural", "captions"],
            inputs=[
                io.Int.Input("size", default=60_000, min=1, max=10_000_000, tooltip="Number of pictures. The built-in "
                             "prior was trained on 60000."),
                io.Int.Input("resolution", default=32, min=8, max=256, step=8, tooltip="Width and height, pixels."),
                seed_input("Seed of every random choice. The same seed gives the same pictures."),
                number("min_elevation", -40.0, -90.0, 90.0, 1.0, "Lowest elevation of the camera, degrees; below 0 it "
                                                                 "looks up from below."),
                number("max_elevation", 70.0, -90.0, 90.0, 1.0, "Highest elevation of the camera, degrees."),
                number("distance", 3.2, 1.5, 100.0, 0.1, "Distance of the camera from the centre; shapes have a radius "
                                                         "of about 1."),
                number("distance_jitter", 0.15, 0.0, 1.0, 0.05, "The distance varies by up to this much."),
                number("fovy", 40.0, 1.0, 120.0, 1.0, "Vertical field of view, degrees."),
                number("scale_jitter", 0.04, 0.0, 0.5, 0.01, "The size of shapes varies by up to this share."),
                number("albedo_share", 0.3, 0.0, 1.0, 0.05, "Share of pictures without shading."),
                io.Int.Input("supersample", default=3, min=1, max=8, tooltip="Rays per pixel along each axis, for "
                             "smooth edges."),
            ],
            outputs=[DATASET.Output("dataset", tooltip="For Train Prior and Dataset Preview.")])

    @classmethod
    def execute(cls, **widgets) -> io.NodeOutput:
        return io.NodeOutput(ShapeDataset(**widgets))
