"""Shape views: several pictures of each of many random shapes, for models that are conditioned on the camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from ...kernels.shapes.render import render_shapes
from ..comfy import VIEW_DATASET, Node, io, seed_input
from ..core.cameras import Cameras, on_sphere, orbit
from ..core.errors import DistillError
from ..core.picture import NORMAL_DEPTH, picture
from ..core.rendering import Rendering
from ..shapes.caption import sample_shape, shape_parts
from .shape_dataset import render_chunks

COLOR, ALL_AROUND, ANYWHERE = "color", "all around", "anywhere"
_CHUNK = 8  # shapes per random stream; part of the recipe, because another size gives other images


class ViewImages(NamedTuple):
    """images uint8 [N, V, H, W, C]; captions str [N]; azimuth, elevation, distance, fovy float32 [N, V],
    radians and world units."""

    images: np.ndarray
    captions: np.ndarray
    azimuth: np.ndarray
    elevation: np.ndarray
    distance: np.ndarray
    fovy: np.ndarray


@dataclass(frozen=True)
class ShapeViews:
    """Recipe of a dataset: the same recipe gives the same images. The background is white.

    size            number of shapes N
    views           pictures of each, V
    picture         "color", or "normal and depth" (nodes.core.picture), whose fourth channel is the nearness
    cameras         "all around": evenly spaced from a random azimuth on, at one elevation, as in Multi-View Orbit;
                    "anywhere": each drawn independently
    resolution      H = W, pixels
    seed            for every random choice
    min_elevation,
    max_elevation   degrees, uniform in the angle
    view_size       half the height that a picture covers at the origin, world units, +- size_jitter; see Multi-View
                    Orbit
    fovy            degrees
    scale_jitter    relative, +-, of the shapes
    albedo_share    share of shapes without shading; the others have ambient light in [0.4, 1) and one light for all
                    views

    Raises DistillError for invalid numbers.
    """

    images: ClassVar[type] = ViewImages

    size: int = 12_000
    views: int = 4
    picture: str = COLOR
    cameras: str = ALL_AROUND
    resolution: int = 32
    seed: int = 0
    min_elevation: float = -30.0
    max_elevation: float = 60.0
    view_size: float = 1.0
    size_jitter: float = 0.03
    fovy: float = 40.0
    scale_jitter: float = 0.04
    albedo_share: float = 0.3
    supersample: int = 3

    def __post_init__(self):
        if min(self.size, self.views, self.resolution, self.supersample) < 1:
            raise DistillError(
                f"Shape Views: size is {self.size}, views {self.views}, resolution {self.resolution}, supersample "
                f"{self.supersample}. Each must be at least 1."
            )
        if not -90 <= self.min_elevation <= self.max_elevation <= 90:
            raise DistillError(
                f'Shape Views: "min_elevation" ({self.min_elevation}) and "max_elevation" ({self.max_elevation}) '
                "must lie within -90 .. 90 and in this order."
            )
        if not (self.view_size > self.size_jitter >= 0 and 0 < self.fovy < 180):
            raise DistillError(
                f"Shape Views: view_size is {self.view_size} +- {self.size_jitter} and fovy {self.fovy}. The size must "
                "stay above 0 and the field of view between 0 and 180 degrees."
            )

    def render(self, progress: Callable[[int, int], None] | None = None, device="cpu") -> ViewImages:
        """Render the dataset. progress(done, size) is called now and then; an exception that it raises ends the
        work."""
        return render_chunks(self, _CHUNK, progress, device)

    def _chunk(self, index: int, count: int, device) -> ViewImages:
        rng = np.random.default_rng((self.seed, index))
        # All of the chunk are drawn, so that the first shapes are the same however many there are.
        shapes = [sample_shape(rng, shares=_SHARES) for _ in range(_CHUNK)][:count]
        scale = 1.0 + self.scale_jitter * rng.uniform(-1.0, 1.0, _CHUNK)[:count]
        cameras = self._cameras(rng).take(slice(count * self.views)).to(device)
        light, ambient = (values[:count] for values in self._light(rng))
        repeated = [shape for shape in shapes for _ in range(self.views)]
        scale, light, ambient = (torch.as_tensor(np.repeat(values, self.views, 0), dtype=torch.float32, device=device)
                                 for values in (scale, light, ambient))
        rendered = render_shapes(
            shape_parts(repeated, scale, device), cameras.c2w, cameras.fovy, self.resolution, self.supersample, light,
            ambient
        )
        shown = rendered["rgb"] if self.picture == COLOR else picture(_rendering(rendered), cameras, NORMAL_DEPTH)
        shape = (count, self.views)
        return ViewImages(
            shown.mul(255.0).add(0.5).clamp(0, 255).byte().cpu().numpy().reshape(*shape, *shown.shape[1:]),
            np.array([shape.caption for shape in shapes]),
            *(getattr(cameras, name).cpu().numpy().reshape(shape)
              for name in ("azimuth", "elevation", "distance", "fovy")),
        )

    def _cameras(self, rng) -> Cameras:
        count = _CHUNK
        if self.cameras == ALL_AROUND:
            around = 2 * math.pi * (rng.uniform(size=(count, 1)) + np.arange(self.views) / self.views)
            elevation = np.repeat(rng.uniform(self.min_elevation, self.max_elevation, (count, 1)), self.views, 1)
            size = np.repeat(rng.uniform(-1.0, 1.0, (count, 1)), self.views, 1)
        else:
            around = rng.uniform(0.0, 2 * math.pi, (count, self.views))
            elevation = rng.uniform(self.min_elevation, self.max_elevation, (count, self.views))
            size = rng.uniform(-1.0, 1.0, (count, self.views))
        azimuth = np.mod(around + math.pi, 2 * math.pi) - math.pi
        distance = (self.view_size + self.size_jitter * size) / math.tan(math.radians(self.fovy) / 2)
        azimuth, elevation, distance = (torch.as_tensor(values.reshape(-1), dtype=torch.float32)
                                        for values in (azimuth, np.radians(elevation), distance))
        return orbit(azimuth, elevation, distance, math.radians(self.fovy), self.resolution, self.resolution)

    def _light(self, rng):
        """Directions [N,3] and ambient light [N]: one per shape, so that its views agree."""
        count = _CHUNK
        azimuth, jitter = rng.uniform(0.0, 2 * math.pi, count), 0.5 * rng.normal(size=(count, 3)) + (0.0, 0.0, 0.3)
        around = on_sphere(torch.as_tensor(azimuth),
                           torch.full((count,), math.radians(30.0), dtype=torch.float64)).numpy()
        light = around + jitter
        ambient = np.where(rng.random(count) < self.albedo_share, 1.0, rng.uniform(0.4, 1.0, count))
        return light / np.linalg.norm(light, axis=-1, keepdims=True), ambient


# Single, stacked and nosed shapes; the rest has a pattern. A nose marks the front, on which the views have to agree.
_SHARES = (0.25, 0.35, 0.35)


def _rendering(rendered) -> Rendering:
    """Layers of render_shapes as a Rendering: sums weighted by coverage."""
    alpha = rendered["alpha"]
    return Rendering(rgb=rendered["rgb"], opacity=alpha, depth=rendered["depth"] * alpha,
                     normal=rendered["normal"] * alpha)


class ShapeViewsNode(Node):
    advanced = ("min_elevation", "max_elevation", "view_size", "size_jitter", "fovy", "scale_jitter",
                "albedo_share", "supersample")

    @classmethod
    def define_schema(cls):
        def number(id, default, low, high, step, tooltip):
            return io.Float.Input(id, default=default, min=low, max=high, step=step, round=False, tooltip=tooltip)

        return io.Schema(
            node_id="Distill3D_ShapeViews", display_name="Shape Views", category="Distill3D/train",
            description="Several pictures of each of many random shapes, for models that are conditioned on the "
                        "camera.",
            search_aliases=["multi-view dataset", "training views", "procedural"],
            inputs=[
                io.Int.Input("size", default=12_000, min=1, max=10_000_000, tooltip="Number of shapes."),
                io.Int.Input("views", default=4, min=1, max=64, tooltip="Pictures of each shape."),
                io.Combo.Input("picture", options=[COLOR, NORMAL_DEPTH], default=COLOR, tooltip="Colours for Train "
                               "Zero123 Prior and Train MVDream Prior, normals and depth for Train Normal-Depth "
                               "Prior."),
                io.Combo.Input("cameras", options=[ALL_AROUND, ANYWHERE], default=ALL_AROUND, tooltip="all around: "
                               "evenly spaced at one elevation, for multi-view models. anywhere: drawn independently, "
                               "for Train Zero123 Prior."),
                io.Int.Input("resolution", default=32, min=8, max=256, step=8, tooltip="Width and height, pixels."),
                seed_input("Seed of every random choice. The same seed gives the same pictures."),
                number("min_elevation", -30.0, -90.0, 90.0, 1.0, "Lowest elevation of the camera, degrees; below 0 it "
                                                                 "looks up from below."),
                number("max_elevation", 60.0, -90.0, 90.0, 1.0, "Highest elevation of the camera, degrees."),
                number("view_size", 1.0, 0.1, 10.0, 0.05, "Half the height that a picture covers at the origin, "
                       "world units; shapes have a radius of about 1. The same as size in Multi-View Orbit."),
                number("size_jitter", 0.03, 0.0, 1.0, 0.01, "The size varies by up to this much."),
                number("fovy", 40.0, 1.0, 120.0, 1.0, "Vertical field of view, degrees."),
                number("scale_jitter", 0.04, 0.0, 0.5, 0.01, "The size of shapes varies by up to this share."),
                number("albedo_share", 0.3, 0.0, 1.0, 0.05, "Share of shapes without shading."),
                io.Int.Input("supersample", default=3, min=1, max=8, tooltip="Rays per pixel along each axis, for "
                             "smooth edges."),
            ],
            outputs=[VIEW_DATASET.Output("dataset", tooltip="For the nodes that train view-conditioned models, and for "
                                         "Dataset Preview.")])

    @classmethod
    def execute(cls, **widgets) -> io.NodeOutput:
        return io.NodeOutput(ShapeViews(**widgets))
