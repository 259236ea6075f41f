"""Depth variance loss: one thin surface along each ray (HiFA)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.volume.regularize import depth_variance
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, samples_of


@dataclass(frozen=True)
class DepthVariance:
    """HiFA's z-variance: the variance of the depth along each opaque ray. Volume renderers only.

    weight  relative to a score loss, which is a sum over the elements of each view; SDI: 1
    """

    weight: Schedule = Schedule.of(1.0)
    name: str = "depth variance"
    wanted: frozenset[str] = frozenset({"samples"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_variance, self.weight)


def _variance(look: Look) -> Tensor:
    samples = samples_of(look.rendering, "Depth Variance Loss")
    return depth_variance(samples.weights, samples.t, samples.ray, samples.rays)


class DepthVarianceLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DepthVarianceLoss", display_name="Depth Variance Loss", category="Distill3D/losses",
            description="Concentrates the density along each opaque ray at one depth: the variance of the depth, "
                        "which HiFA calls z-variance.",
            search_aliases=["z-variance", "hifa", "sdi", "floaters", "fog"],
            inputs=[
                scheduled("weight", 1.0, "Weight of this loss, a mean over opaque rays in squared world units. SDS is "
                          "a sum over the elements of each view. SDI: 1.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, DepthVariance(Schedule.of(weight))))
