"""Fixed Orbit: a fixed set of evenly spaced cameras, visited in order."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from ..comfy import VIEWS, Node, io
from ..core.cameras import LENSES, Cameras, orbit, wrap_angle
from ..core.errors import DistillError
from ..core.rng import Streams


@dataclass(frozen=True)
class FixedOrbit:
    """A fixed set of evenly spaced cameras, visited in order, for fits to given pictures and for evaluation.

    azimuths       views per ring, the first at start_azimuth
    elevations     degrees, one ring each
    distance       from the origin, world units
    fovy, start_azimuth  degrees
    lens           one of LENSES
    scale          half the height that an orthographic picture covers, world units

    The N = azimuths * len(elevations) views are numbered ring by ring. Step s takes `batch` views round-robin,
    beginning with view s * batch, so N / batch steps visit every view once. After each full round the order shifts by
    one, so that an objective that is active at every k-th step visits all views too. Nothing is random.
    """

    azimuths: int = 8
    elevations: tuple[float, ...] = (15.0,)
    distance: float = 3.2
    fovy: float = 40.0
    start_azimuth: float = 0.0
    lens: str = LENSES[0]
    scale: float = 1.0

    def __post_init__(self):
        if self.azimuths < 1 or not self.elevations:
            raise DistillError(f"Fixed Orbit: at least one azimuth and one elevation are needed, got {self.azimuths} "
                               f"and {list(self.elevations)}.")
        beyond = [elevation for elevation in self.elevations if not -90 <= elevation <= 90]
        if beyond:
            raise DistillError(f"Fixed Orbit: elevation {beyond[0]} is not within -90 .. 90 degrees.")

    def __len__(self) -> int:
        return self.azimuths * len(self.elevations)

    def views(self, index: torch.Tensor, height: int, width: int) -> Cameras:
        """The cameras numbered `index` [B], int64 in [0, N)."""
        around = index % self.azimuths * (360.0 / self.azimuths) + self.start_azimuth
        elevation = torch.tensor(self.elevations, dtype=torch.float32)[index // self.azimuths]
        return orbit(wrap_angle(torch.deg2rad(around)), torch.deg2rad(elevation), self.distance,
                     math.radians(self.fovy), height, width, self.scale if self.lens == LENSES[1] else None)

    def sample(self, batch: int, height: int, width: int, step: int, total: int, streams: Streams) -> Cameras:
        """The `batch` cameras whose turn it is at `step`."""
        turn = step * batch + torch.arange(batch)
        return self.views((turn + turn // len(self)) % len(self), height, width)


def parse_elevations(text: str) -> tuple[float, ...]:
    """"0, 30" -> (0.0, 30.0). Raises DistillError with the piece that is not a number."""
    elevations = []
    for piece in text.replace("\n", ",").split(","):
        if not piece.strip():
            continue
        try:
            elevations.append(float(piece))
        except ValueError:
            raise DistillError(f'Fixed Orbit: cannot read elevation "{piece.strip()}". Write degrees with commas '
                               'between them, e.g. "0, 30".') from None
    return tuple(elevations)


class FixedOrbitNode(Node):
    advanced = ("start_azimuth", "lens", "scale")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_FixedOrbit", display_name="Fixed Orbit", category="Distill3D/cameras",
            description="A fixed set of evenly spaced cameras, visited in order, for fits to given pictures and for "
                        "evaluation.",
            search_aliases=["turntable", "evenly spaced", "evaluation views", "multi-view"],
            inputs=[
                io.Int.Input("azimuths", default=8, min=1, max=1000, tooltip="Views per ring."),
                io.String.Input("elevations", default="15", tooltip="Elevations in degrees, separated by commas: one "
                                "ring of views each."),
                io.Float.Input("distance", default=3.2, min=0.01, max=100.0, step=0.05,
                               tooltip="Distance from the origin, world units."),
                io.Float.Input("fovy", default=40.0, min=1.0, max=170.0, step=0.5,
                               tooltip="Vertical field of view, degrees."),
                io.Float.Input("start_azimuth", default=0.0, min=-360.0, max=360.0, step=1.0,
                               tooltip="Azimuth of each ring's first view, degrees; 0 is the front."),
                io.Combo.Input("lens", options=list(LENSES), default=LENSES[0], optional=True, tooltip="Perspective, "
                               "or orthographic: parallel rays, so that sizes do not depend on the distance."),
                io.Float.Input("scale", default=1.0, min=0.01, max=100.0, step=0.05, optional=True,
                               tooltip="Orthographic lens: half the height that a picture covers, world units."),
            ],
            outputs=[VIEWS.Output("views", tooltip="A sampler of cameras for an Objective.")])

    @classmethod
    def execute(cls, azimuths=8, elevations="15", distance=3.2, fovy=40.0, start_azimuth=0.0, lens=LENSES[0],
                scale=1.0) -> io.NodeOutput:
        return io.NodeOutput(FixedOrbit(azimuths, parse_elevations(elevations), distance, fovy, start_azimuth, lens,
                                        scale))
