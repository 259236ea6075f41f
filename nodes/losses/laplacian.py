"""Laplacian loss: smooths a mesh by the uniform Laplacian (ProlificDreamer's geometry stage in threestudio)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.surface.regularize import laplacian
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, surface_of

TITLE = "Laplacian Loss"


@dataclass(frozen=True)
class Laplacian:
    """Uniform Laplacian smoothing: the mean length of the rows of (D - A) V, degree matrix D, adjacency matrix A.

    In world units, so the value falls with the size of the triangles. It shrinks small parts.

    weight  relative to a score loss, which is a sum over the elements of each view: 10,000 in threestudio's
            ProlificDreamer
    """

    weight: Schedule = Schedule.of(10_000.0)
    name: str = "laplacian"
    wanted: frozenset[str] = frozenset({"surface"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(_laplacian, self.weight)


def _laplacian(look: Look) -> Tensor:
    surface = surface_of(look.rendering, TITLE)
    return laplacian(surface.vertices, surface.faces)


class LaplacianLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_LaplacianLoss", display_name=TITLE, category="Distill3D/losses",
            description="Uniform Laplacian smoothing of a mesh: the mean length of the rows of (D - A) V.",
            search_aliases=["smooth", "mesh regularisation", "umbrella operator", "spikes"],
            inputs=[
                scheduled("weight", 10000.0, "Weight of this loss, a mean over vertices in world units. SDS is a sum "
                                             "over the elements of each view, so the published weight looks large: "
                                             "10000 in ProlificDreamer's geometry stage. Too much shrinks thin "
                                             "parts.", min=0.0, max=1e8, step=1.0),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, weight=10000.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Laplacian(Schedule.of(weight))))
