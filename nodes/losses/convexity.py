"""Convexity loss: fills dents and hollow faces at the start of a run (SDI)."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.image.smoothness import concavity
from ..comfy import LOSS, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure


@dataclass(frozen=True)
class Convexity:
    """How far the surface that is seen is from convex, from depth and normals on a coarse grid.

    cells   of the grid, along each side; SDI: 8
    weight  relative to a score loss, which is a sum over the elements of each view; SDI: 1 falling to 0.1
    """

    cells: int = 8
    weight: Schedule = Schedule.of(1.0)
    name: str = "convexity"
    wanted: frozenset[str] = frozenset({"depth", "normal", "opacity"})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(self._measure, self.weight)

    def _measure(self, look: Look) -> Tensor:
        origins, directions = look.cameras.rays()
        rendering = look.rendering
        points = origins + directions * rendering.depth / rendering.opacity.clamp_min(1e-3)
        return concavity(points, rendering.normal, rendering.opacity, self.cells)


class ConvexityLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ConvexityLoss", display_name="Convexity Loss", category="Distill3D/losses",
            description="Fills dents and hollow faces: penalises a surface in front of the tangent planes of its own "
                        "points, from depth and normals on a coarse grid.",
            search_aliases=["sdi", "hollow face", "dents", "janus"],
            inputs=[
                io.Int.Input("cells", default=8, min=2, max=32, tooltip="Side of the grid to which depth and normals "
                             "are averaged; SDI: 8. More cells count finer dents."),
                scheduled("weight", 1.0, "Weight of this loss, a mean over pairs of cells, at most 1. SDS is a sum "
                          "over the elements of each view. SDI: 1 falling to 0.1.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, cells=8, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, Convexity(cells, Schedule.of(weight))))
