"""Transmittance loss: keeps a fraction of every view empty (Dream Fields)."""
from __future__ import annotations

from dataclasses import dataclass

from ...kernels.volume.regularize import transmittance
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure


@dataclass(frozen=True)
class Transmittance:
    """-min(target, mean transparency of a view): prefers transparent rays until the mean reaches `target`.

    target  in [0,1]
    weight  relative to the mean over views of a CLIP Loss
    """

    target: Schedule = Schedule.of(0.88)
    weight: Schedule = Schedule.of(0.5)
    name: str = "transmittance"
    wanted: frozenset[str] = frozenset({"opacity"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(lambda look: transmittance(look.rendering.opacity, look.at(self.target)), self.weight)


class TransmittanceLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TransmittanceLoss", display_name="Transmittance Loss", category="Distill3D/losses",
            description="Keeps a fraction of every view empty: minus the mean transparency, limited to a target.",
            search_aliases=["dream fields", "transparency", "sparsity", "fog"],
            inputs=[
                scheduled("target", 0.88, "Fraction of a view that should be empty. Raise it during the run, as "
                          "published: from 0.4 to 0.88.", min=0.0, max=1.0, step=0.01),
                scheduled("weight", 0.5, "Weight of this loss, whose absolute value is at most the target. CLIP Loss "
                          "is a mean over views. SDS is a sum over the elements of each view and needs a larger weight "
                          "here.",
                          min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, target=0.88, weight=0.5, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Transmittance(Schedule.of(target), Schedule.of(weight))))
