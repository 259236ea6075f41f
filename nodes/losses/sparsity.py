"""Sparsity loss: prefers transparent rays (DreamFusion)."""
from __future__ import annotations

from dataclasses import dataclass

from ...kernels.volume.regularize import sparsity
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure


@dataclass(frozen=True)
class Sparsity:
    """The mean over pixels of sqrt(opacity^2 + 0.01): prefers transparent rays.

    weight  relative to a score loss, which is a sum over the elements of each view: threestudio's 1 (Stable Diffusion,
            DeepFloyd IF), ProlificDreamer's 10
    """

    weight: Schedule = Schedule.of(1.0)
    name: str = "sparsity"
    wanted: frozenset[str] = frozenset({"opacity"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(lambda look: sparsity(look.rendering.opacity), self.weight)


class SparsityLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SparsityLoss", display_name="Sparsity Loss", category="Distill3D/losses",
            description="Prefers transparent rays: the mean over pixels of sqrt(opacity^2 + 0.01).",
            search_aliases=["opacity regularisation", "sparsity", "floaters", "fog"],
            inputs=[
                scheduled("weight", 1.0, "Weight of this loss, a mean over pixels. SDS is a sum over the elements of "
                                         "each view, so the published weights look large: 1 in threestudio, 10 in "
                                         "ProlificDreamer. Too much empties the scene.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Sparsity(Schedule.of(weight))))
