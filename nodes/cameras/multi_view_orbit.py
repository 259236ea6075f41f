"""Multi-View Orbit: groups of cameras evenly around the object, as in the training of multi-view priors."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..comfy import VIEWS, Node, io
from ..core.cameras import LENSES, Cameras, orbit, wrap_angle
from ..core.errors import DistillError
from ..core.rng import Streams


@dataclass(frozen=True)
class MultiViewOrbit:
    """Groups of cameras evenly around the object, as in the training of multi-view priors.

    views           V cameras of a group, 360/V degrees apart. They share elevation, field of view and distance; the
                    azimuth of the first is random
    min_elevation .. max_elevation  degrees, uniform in the angle
    min_fovy .. max_fovy            vertical field of view, degrees
    min_size .. max_size            distance * tan(fovy / 2), world units: half the height that a picture covers in the
                                    plane through the origin. A wider lens has a smaller distance, so that the object
                                    has the same size in the picture
    lens                            one of LENSES. The size is the scale of an orthographic lens, and fovy then only
                                    sets the distance

    Defaults are MVDream's (Shi et al. 2023, sec. 4.1). Its code draws half of the elevations as asin(2 p - 1), which
    never reaches the upper third of the range; here all are uniform in the angle.

    Groups are consecutive in the batch. Multi-view priors reject a batch that is not a multiple of V. Raises
    DistillError for an empty range.
    """

    views: int = 4
    min_elevation: float = 0.0
    max_elevation: float = 30.0
    min_fovy: float = 15.0
    max_fovy: float = 60.0
    min_size: float = 0.8
    max_size: float = 1.0
    lens: str = LENSES[0]

    def __post_init__(self):
        for name in ("elevation", "fovy", "size"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if not low <= high:
                raise DistillError(f'Multi-View Orbit: "min_{name}" ({low}) is above "max_{name}" ({high}). Swap '
                                   'them.')
        if self.views < 1 or not (self.min_size > 0 and self.min_fovy > 0 and self.max_fovy < 180):
            raise DistillError("Multi-View Orbit: views and size must be above 0 and the field of view between 0 and "
                               f"180 degrees, got {self.views}, {self.min_size} and {self.min_fovy} .. "
                               f"{self.max_fovy}.")

    def sample(self, batch: int, height: int, width: int, step: int, total: int, streams: Streams) -> Cameras:
        """`batch` cameras for a step, drawn from the stream "cameras"."""
        generator = streams("cameras")
        groups = -(-batch // self.views)

        def draw(low: float, high: float) -> Tensor:
            drawn = low + (high - low) * torch.rand(groups, generator=generator)
            return drawn.repeat_interleave(self.views)[:batch]

        elevation = draw(math.radians(self.min_elevation), math.radians(self.max_elevation))
        part = 2 * math.pi / self.views
        azimuth = wrap_angle(draw(-math.pi, part - math.pi) + torch.arange(batch) % self.views * part)
        fovy = draw(math.radians(self.min_fovy), math.radians(self.max_fovy))
        size = draw(self.min_size, self.max_size)
        distance = size / torch.tan(0.5 * fovy)
        return orbit(azimuth, elevation, distance, fovy, height, width, size if self.lens == LENSES[1] else None)


class MultiViewOrbitNode(Node):
    advanced = ("lens", "min_fovy", "max_fovy")

    @classmethod
    def define_schema(cls):
        def number(id, default, tooltip, low, high, step):
            return io.Float.Input(id, default=default, min=low, max=high, step=step, tooltip=tooltip)

        return io.Schema(
            node_id="Distill3D_MultiViewOrbit", display_name="Multi-View Orbit", category="Distill3D/cameras",
            description="Groups of cameras evenly around the object, as in the training of multi-view priors.",
            search_aliases=["mvdream camera", "imagedream camera", "multi-view", "camera sampler", "four views"],
            inputs=[
                io.Int.Input("views", default=4, min=1, max=64, tooltip="Number of cameras in a group. Use the number "
                             "of the prior; the batch of the Objective must be a multiple of it."),
                number("min_elevation", 0.0, "Lowest elevation, degrees. All cameras of a group share one elevation.",
                       -90.0, 90.0, 1.0),
                number("max_elevation", 30.0, "Highest elevation, degrees.", -90.0, 90.0, 1.0),
                number("min_fovy", 40.0, "Narrowest vertical field of view, degrees.", 1.0, 170.0, 0.5),
                number("max_fovy", 40.0, "Widest vertical field of view, degrees.", 1.0, 170.0, 0.5),
                number("min_size", 1.0, "Smallest half height that a picture covers at the origin, world units: "
                       "distance times the tangent of half the field of view. ImageDream: 0.6.", 0.01, 100.0, 0.05),
                number("max_size", 1.0, "Largest half height that a picture covers at the origin, world units. "
                       "ImageDream: 0.75.", 0.01, 100.0, 0.05),
                io.Combo.Input("lens", options=list(LENSES), default=LENSES[0], optional=True, tooltip="Perspective, "
                               "or orthographic: parallel rays; the size is then the scale of the lens."),
            ],
            outputs=[VIEWS.Output("views", tooltip="A sampler of cameras for an Objective.")])

    @classmethod
    def execute(cls, views=4, min_elevation=0.0, max_elevation=30.0, min_fovy=40.0, max_fovy=40.0, min_size=1.0,
                max_size=1.0, lens=LENSES[0]) -> io.NodeOutput:
        return io.NodeOutput(MultiViewOrbit(views, min_elevation, max_elevation, min_fovy, max_fovy, min_size, max_size,
                                            lens))
