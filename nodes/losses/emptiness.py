"""Emptiness loss: few samples with large weights, no fog (SJC)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.volume.regularize import emptiness
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, samples_of


@dataclass(frozen=True)
class Emptiness:
    """SJC's emptiness: the sum of log(1 + 10 weight) along each ray, mean over rays. Volume renderers only.

    weight  relative to a score loss, which is a sum over the elements of each view
    """

    weight: Schedule = Schedule.of(1.0)
    name: str = "emptiness"
    wanted: frozenset[str] = frozenset({"samples"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_emptiness, self.weight)


def _emptiness(look: Look) -> Tensor:
    samples = samples_of(look.rendering, "Emptiness Loss")
    return emptiness(samples.weights, samples.rays)


class EmptinessLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_EmptinessLoss", display_name="Emptiness Loss", category="Distill3D/losses",
            description="Clears fog: penalises many samples with small weights more than few with large ones, as SJC "
                        "does.",
            search_aliases=["sjc", "fog", "floaters", "sparsity"],
            inputs=[
                scheduled("weight", 1.0, "Weight of this loss, a sum over the samples of a ray, mean over rays. SDS is "
                          "a sum over the elements of each view.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Emptiness(Schedule.of(weight))))
