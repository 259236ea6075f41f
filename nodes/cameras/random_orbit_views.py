"""Random Orbit Views: cameras at random positions around the object."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..comfy import VIEWS, Node, io
from ..core.cameras import Cameras, look_at, orbit, wrap_angle
from ..core.errors import DistillError
from ..core.rng import Streams

LENSES = ("field of view", "focal length", "orthographic")


@dataclass(frozen=True)
class RandomOrbitViews:
    """Cameras at random positions around the object. Angles in degrees; defaults are threestudio's. (Those of the
    node suit the built-in prior.)

    min_distance .. max_distance    from the origin, world units
    lens                  "field of view": vertical, min_fovy .. max_fovy. "focal length": min_focal .. max_focal in
                          image widths (DreamFusion: 0.7 .. 1.35). "orthographic": parallel rays; half the height that a
                          picture covers is min_scale .. max_scale, world units
    min_elevation .. max_elevation, min_azimuth .. max_azimuth
    by_angle              probability that the elevations of a batch are uniform in the angle; otherwise they are
                          uniform on the sphere, with fewer views from high above. Drawn once per batch
    spread_azimuth        stratified azimuths: one view in each of B equal parts of the range, instead of B independent
                          ones
    position_jitter       a: each camera coordinate is shifted by U(-a, a), world units
    target_jitter         standard deviation of the point that the camera looks at, world units
    up_jitter             standard deviation of the up direction. All three jitters must be 0 for the built-in prior,
                          whose training pictures are exactly centred
    progressive_until     the ranges grow linearly from one view (start_elevation, azimuth 0) to their full width over
                          this many steps; 0: full from the start

    The azimuth (in (-180, 180]), elevation and distance of the result are those before jitter, as published. Raises
    DistillError for an empty range.
    """

    min_distance: float = 1.0
    max_distance: float = 1.5
    lens: str = LENSES[0]
    min_fovy: float = 40.0
    max_fovy: float = 70.0
    min_focal: float = 0.7
    max_focal: float = 1.35
    min_elevation: float = -10.0
    max_elevation: float = 90.0
    by_angle: float = 0.5
    min_azimuth: float = -180.0
    max_azimuth: float = 180.0
    spread_azimuth: bool = True
    position_jitter: float = 0.1
    target_jitter: float = 0.2
    up_jitter: float = 0.02
    progressive_until: int = 0
    start_elevation: float = 15.0
    min_scale: float = 0.8
    max_scale: float = 1.0

    def __post_init__(self):
        for name in ("distance", "fovy", "focal", "elevation", "azimuth", "scale"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if not low <= high:
                raise DistillError(f'Random Orbit Views: "min_{name}" ({low}) is above "max_{name}" ({high}). Swap '
                                   'them.')
        if self.lens not in LENSES:
            raise DistillError(f'Random Orbit Views: lens must be one of {", ".join(LENSES)}, got "{self.lens}".')
        if not (self.min_distance > 0 and self.min_fovy > 0 and self.max_fovy < 180 and self.min_focal > 0
                and self.min_scale > 0):
            raise DistillError("Random Orbit Views: distance, field of view, focal length and scale must be above 0 "
                               f"and the field of view below 180 degrees, got {self.min_distance}, {self.min_fovy} .. "
                               f"{self.max_fovy}, {self.min_focal} and {self.min_scale}.")

    def sample(self, batch: int, height: int, width: int, step: int, total: int, streams: Streams) -> Cameras:
        """`batch` cameras for a step, drawn from the stream "cameras"."""
        generator = streams("cameras")
        elevation = self._elevation(batch, step, generator)
        azimuth = self._azimuth(batch, step, generator)
        distance = _lerp(self.min_distance, self.max_distance, torch.rand(batch, generator=generator))
        fovy = scale = None
        if self.lens == "orthographic":
            scale = _lerp(self.min_scale, self.max_scale, torch.rand(batch, generator=generator))
        else:
            fovy = self._fovy(batch, height / width, generator)
        cameras = orbit(azimuth, elevation, distance, fovy, height, width, scale)
        return self._jittered(cameras, generator)

    def _openness(self, step: int) -> float:
        """The fraction of their full width that the ranges have at `step`, in (0, 1]."""
        # threestudio divides `step` itself, which leaves step 0 with a single view even when nothing is progressive.
        return min(1.0, (step + 1) / (self.progressive_until + 1))

    def _elevation(self, batch: int, step: int, generator: torch.Generator) -> Tensor:
        low, high = (math.radians(_lerp(self.start_elevation, end, self._openness(step)))
                     for end in (self.min_elevation, self.max_elevation))
        is_by_angle = torch.rand((), generator=generator) < self.by_angle
        u = torch.rand(batch, generator=generator)
        if is_by_angle:
            return _lerp(low, high, u)
        return torch.asin(_lerp(math.sin(low), math.sin(high), u).clamp(-1, 1))

    def _azimuth(self, batch: int, step: int, generator: torch.Generator) -> Tensor:
        low, high = (math.radians(end) * self._openness(step) for end in (self.min_azimuth, self.max_azimuth))
        u = torch.rand(batch, generator=generator)
        if self.spread_azimuth:
            u = (u + torch.arange(batch)) / max(batch, 1)
        return wrap_angle(_lerp(low, high, u))

    def _fovy(self, batch: int, aspect: float, generator: torch.Generator) -> Tensor:
        u = torch.rand(batch, generator=generator)
        if self.lens == "focal length":
            return 2 * torch.atan(0.5 * aspect / _lerp(self.min_focal, self.max_focal, u))
        return _lerp(math.radians(self.min_fovy), math.radians(self.max_fovy), u)

    def _jittered(self, cameras: Cameras, generator: torch.Generator) -> Cameras:
        shape = (len(cameras), 3)
        move = (2 * torch.rand(shape, generator=generator) - 1) * self.position_jitter
        target = torch.randn(shape, generator=generator) * self.target_jitter
        tilt = torch.randn(shape, generator=generator) * self.up_jitter
        if not (self.position_jitter or self.target_jitter or self.up_jitter):
            return cameras
        return replace(cameras, c2w=look_at(cameras.position + move, target, torch.tensor([0.0, 0.0, 1.0]) + tilt))


def _lerp(low, high, share):
    return low + (high - low) * share


class RandomOrbitViewsNode(Node):
    advanced = ("min_focal", "max_focal", "by_angle", "min_azimuth", "max_azimuth", "spread_azimuth",
                "position_jitter", "target_jitter", "up_jitter", "progressive_until", "start_elevation",
                "min_scale", "max_scale")

    @classmethod
    def define_schema(cls):
        def number(id, default, tooltip, low, high, step=0.1, **options):
            return io.Float.Input(id, default=default, min=low, max=high, step=step, tooltip=tooltip, **options)

        return io.Schema(
            node_id="Distill3D_RandomOrbitViews", display_name="Random Orbit Views", category="Distill3D/cameras",
            description="Cameras at random positions around the object.",
            search_aliases=["random camera", "camera sampler", "dreamfusion camera", "orbit"],
            inputs=[
                number("min_distance", 3.05, "Smallest distance from the origin, world units.", 0.01, 100.0, 0.05),
                number("max_distance", 3.35, "Largest distance from the origin, world units.", 0.01, 100.0, 0.05),
                io.Combo.Input("lens", options=list(LENSES), default=LENSES[0], tooltip="Quantity to draw: the "
                               "vertical field of view in degrees, the focal length in image widths (DreamFusion), or "
                               "the scale of an orthographic lens."),
                number("min_fovy", 40.0, "Narrowest vertical field of view, degrees.", 1.0, 170.0, 0.5),
                number("max_fovy", 40.0, "Widest vertical field of view, degrees.", 1.0, 170.0, 0.5),
                number("min_focal", 0.7, 'Shortest focal length in image widths, for the lens "focal '
                                         'length".', 0.01, 100.0, 0.05),
                number("max_focal", 1.35, 'Longest focal length in image widths, for the lens "focal '
                                          'length".', 0.01, 100.0, 0.05),
                number("min_elevation", -30.0, "Lowest elevation, degrees; below 0 the camera looks up from below.",
                       -90.0, 90.0, 1.0),
                number("max_elevation", 65.0, "Highest elevation, degrees; at 90 the camera looks straight down.",
                       -90.0, 90.0, 1.0),
                number("by_angle", 0.5, "Probability that the elevations of a batch are uniform in the angle. "
                       "Otherwise they are uniform on the sphere, with fewer views from high above.", 0.0, 1.0, 0.05),
                number("min_azimuth", -180.0, "Lower end of the azimuth range, degrees; 0 is the front, 90 is +y.",
                       -360.0, 360.0, 1.0),
                number("max_azimuth", 180.0, "Upper end of the azimuth range, degrees.", -360.0, 360.0, 1.0),
                io.Boolean.Input("spread_azimuth", default=True, tooltip="Divide the azimuth range into as many equal "
                                 "parts as the batch has views, and draw one view in each. Otherwise views are "
                                 "independent."),
                number("position_jitter", 0.0, "Largest random shift of each camera coordinate, world units. "
                       "DreamFusion: 0.1; 0 for the built-in prior, whose training pictures are centred.",
                       0.0, 10.0, 0.01),
                number("target_jitter", 0.0, "Standard deviation of the point that the camera looks at, world units. "
                       "DreamFusion: 0.2; 0 for the built-in prior.", 0.0, 10.0, 0.01),
                number("up_jitter", 0.0, "Standard deviation of the up direction. DreamFusion: 0.02; 0 for the "
                       "built-in prior.",
                       0.0, 1.0, 0.01),
                io.Int.Input("progressive_until", default=0, min=0, max=1_000_000, tooltip="Number of steps over which "
                             "the ranges grow from one front view to their full width. 0: full from the start."),
                number("start_elevation", 15.0, "Elevation of the view from which progressive ranges grow, degrees.",
                       -90.0, 90.0, 1.0),
                number("min_scale", 0.8, "Orthographic lens: smallest half height that a picture covers, world units.",
                       0.01, 100.0, 0.05, optional=True),
                number("max_scale", 1.0, "Orthographic lens: largest half height that a picture covers, world units.",
                       0.01, 100.0, 0.05, optional=True),
            ],
            outputs=[VIEWS.Output("views", tooltip="A sampler of cameras for an Objective.")])

    @classmethod
    def execute(cls, **widgets) -> io.NodeOutput:
        return io.NodeOutput(RandomOrbitViews(**widgets))
