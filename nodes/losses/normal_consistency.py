"""Normal Consistency loss: aligns the normals of neighbouring vertices (Magic3D's refinement in threestudio)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.surface.regularize import normal_consistency
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, surface_of

TITLE = "Normal Consistency Loss"


@dataclass(frozen=True)
class NormalConsistency:
    """Aligns the normals of neighbouring vertices of a mesh: the mean over edges of 1 - cosine between them.

    weight  relative to a score loss, which is a sum over the elements of each view: 10,000 in threestudio's Magic3D and
            ProlificDreamer, 1000 to 10 over 2000 steps in DreamCraft3D's geometry stage
    """

    weight: Schedule = Schedule.of(10_000.0)
    name: str = "normal consistency"
    wanted: frozenset[str] = frozenset({"surface"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_normal_consistency, self.weight)


def _normal_consistency(look: Look) -> Tensor:
    surface = surface_of(look.rendering, TITLE)
    return normal_consistency(surface.normals, surface.faces)


class NormalConsistencyLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_NormalConsistencyLoss", display_name=TITLE, category="Distill3D/losses",
            description="Aligns the normals of neighbouring vertices of a mesh: the mean over edges of 1 - cosine "
                        "between them.",
            search_aliases=["smooth", "mesh regularisation", "magic3d", "bumps"],
            inputs=[
                scheduled("weight", 10000.0, "Weight of this loss, a mean over edges. SDS is a sum over the elements "
                                             "of each view, so published weights look large: 10000 in Magic3D's "
                                             "refinement. Too much removes detail.",
                          min=0.0, max=1e8, step=1.0),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=10000.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, NormalConsistency(Schedule.of(weight))))
