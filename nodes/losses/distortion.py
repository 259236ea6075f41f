"""Distortion loss: concentrates the weights along each ray (Barron et al. 2022, mip-NeRF 360)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.volume.composite import distortion
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, samples_of


@dataclass(frozen=True)
class Distortion:
    """mip-NeRF 360's distortion (eq. 15), a mean over all rays: concentrates the weights along each ray in a thin
    layer.

    Distances are world units along the ray, so the value grows with the scene. Volume renderers only.

    weight  relative to a score loss, which is a sum over the elements of each view
    """

    weight: Schedule = Schedule.of(1.0)
    name: str = "distortion"
    wanted: frozenset[str] = frozenset({"samples"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_distortion, self.weight)


def _distortion(look: Look) -> Tensor:
    samples = samples_of(look.rendering, "Distortion Loss")
    return distortion(samples.weights, samples.t, samples.delta, samples.ray, samples.rays).mean()


class DistortionLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DistortionLoss", display_name="Distortion Loss", category="Distill3D/losses",
            description="Concentrates the density along each ray in a thin layer: mip-NeRF 360's distortion, a mean "
                        "over all rays.",
            search_aliases=["mip-nerf 360", "floaters", "fog", "compact"],
            inputs=[
                scheduled("weight", 1.0, "Weight of this loss, a mean over all rays in world units. SDS is a sum over "
                          "the elements of each view.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Distortion(Schedule.of(weight))))
