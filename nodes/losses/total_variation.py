"""Total variation loss: smooth pictures of colour, depth, normals or opacity."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.image.smoothness import total_variation
from ..comfy import LOSS, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext
from ..core.schedule import Schedule
from .weighted import WeightedMeasure

PICTURES = ("rgb", "albedo", "normal", "depth", "opacity")


@dataclass(frozen=True)
class TotalVariation:
    """Mean absolute difference of neighbouring pixels of a picture of the scene.

    image   "rgb", "albedo", "normal", "depth" or "opacity"
    weight  relative to a score loss, which is a sum over the elements of each view
    """

    image: str = "normal"
    weight: Schedule = Schedule.of(1.0)
    name: str = "total variation"

    def __post_init__(self):
        if self.image not in PICTURES:
            raise DistillError(f'Total Variation Loss: "image" must be one of {", ".join(PICTURES)}, got '
                               f'"{self.image}".')

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset({self.image})

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure(self._measure, self.weight)

    def _measure(self, look: Look) -> Tensor:
        return total_variation(getattr(look.rendering, self.image))


class TotalVariationLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TotalVariationLoss", display_name="Total Variation Loss", category="Distill3D/losses",
            description="Smooths renderings: the mean absolute difference of neighbouring pixels of colour, normals, "
                        "depth or opacity.",
            search_aliases=["tv", "smoothness", "noise"],
            inputs=[
                io.Combo.Input("image", options=list(PICTURES), default="normal", tooltip="The picture of the scene "
                               "that is smoothed."),
                scheduled("weight", 1.0, "Weight of this loss, a mean over pixels. SDS is a sum over the elements of "
                          "each view.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, image="normal", weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, TotalVariation(image, Schedule.of(weight))))
