"""Orientation loss: visible normals must not face away from the camera (Verbin et al. 2022, Ref-NeRF; DreamFusion)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.volume.regularize import orientation
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, samples_of


@dataclass(frozen=True)
class Orientation:
    """Ref-NeRF's orientation loss (eq. 11): the weighted sum of max(0, n.d)^2 along each ray, a mean over rays that
    hit the object.

    The rendering weights are detached, so that the loss rotates normals and does not remove density. Needs a volume
    renderer with normals.

    weight  relative to a score loss, which is a sum over the elements of each view. threestudio: 10 at first, 1000 from
            step 5000
    """

    weight: Schedule = Schedule.of(10.0)
    name: str = "orientation"
    wanted: frozenset[str] = frozenset({"samples", "normal"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_orientation, self.weight)


def _orientation(look: Look) -> Tensor:
    samples = samples_of(look.rendering, "Orientation Loss", normals=True)
    return orientation(samples.weights, samples.normal, samples.direction, samples.ray, samples.rays)


class OrientationLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_OrientationLoss", display_name="Orientation Loss", category="Distill3D/losses",
            description="Turns the normals of visible samples towards the camera: the weighted sum of max(0, n.d)^2 "
                        "along each ray that hits the object.",
            search_aliases=["orient", "ref-nerf", "normals"],
            inputs=[
                scheduled("weight", 10.0, "Weight of this loss, a mean over these rays. SDS is a sum over "
                          "the elements of each view. threestudio ramps from 10 to 1000 over 5000 steps.",
                          min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=10.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Orientation(Schedule.of(weight))))
