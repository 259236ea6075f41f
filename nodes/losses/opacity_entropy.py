"""Opacity entropy loss: prefers rays that are fully transparent or fully opaque."""
from __future__ import annotations

from dataclasses import dataclass

from ...kernels.volume.regularize import opacity_entropy
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure

UNITS = ("nats", "bits")


@dataclass(frozen=True)
class OpacityEntropy:
    """The mean over pixels of the binary entropy of opacity: prefers rays that are fully transparent or fully opaque.

    unit    "nats" (threestudio's "opaque" loss) or "bits" (logarithm of base 2, as in stable-dreamfusion)
    weight  relative to a score loss, which is a sum over the elements of each view: ProlificDreamer ends at 1000
    """

    unit: str = "nats"
    weight: Schedule = Schedule.of(1.0)
    name: str = "opacity entropy"
    wanted: frozenset[str] = frozenset({"opacity"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(lambda look: opacity_entropy(look.rendering.opacity, unit=self.unit), self.weight)


class OpacityEntropyLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_OpacityEntropyLoss", display_name="Opacity Entropy Loss", category="Distill3D/losses",
            description="Prefers rays that are fully transparent or fully opaque: the mean over pixels of the binary "
                        "entropy of opacity.",
            search_aliases=["opaque", "entropy", "fog", "semi-transparent"],
            inputs=[
                io.Combo.Input("unit", options=list(UNITS), default=UNITS[0], tooltip="Logarithm of the entropy: nats "
                               "(threestudio's opaque loss) or bits (1.44 times as much)."),
                scheduled("weight", 1.0, "Weight of this loss, a mean over pixels. SDS is a sum over the elements of "
                                         "each view. Raise it during the run: at first everything is half transparent.",
                          min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, unit=UNITS[0], weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, OpacityEntropy(unit, Schedule.of(weight))))
