"""Eikonal loss: keeps the gradient of a signed distance at unit length (Gropp et al. 2020)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.volume.regularize import eikonal
from ..comfy import LOSS, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, samples_of

TITLE = "Eikonal Loss"


@dataclass(frozen=True)
class Eikonal:
    """Keeps the gradient of a signed distance at length 1: the mean of (|g| - 1)^2 over samples. NeuS renderers only.

    weight  published: 0.1 with a mean absolute colour error (NeuS). DreamCraft3D does not use it
    """

    weight: Schedule = Schedule.of(0.1)
    name: str = "eikonal"
    wanted: frozenset[str] = frozenset({"samples"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_eikonal, self.weight)


def _eikonal(look: Look) -> Tensor:
    gradient = samples_of(look.rendering, TITLE).gradient
    if gradient is None:
        raise DistillError(f"{TITLE}: this scene has no signed distance. Use a Hash Grid SDF with a NeuS Renderer, or "
                           "remove this loss.")
    return eikonal(gradient)


class EikonalLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_EikonalLoss", display_name=TITLE, category="Distill3D/losses",
            description="Keeps the gradient of a signed distance at length 1: the mean of (length - 1)^2 over samples.",
            search_aliases=["neus", "signed distance", "gradient norm"],
            inputs=[
                scheduled("weight", 0.1, "Weight of this loss, a mean over samples. Published: 0.1 with a mean "
                                         "colour error. SDS is a sum over the elements of each view.",
                          min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=0.1, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Eikonal(Schedule.of(weight))))
