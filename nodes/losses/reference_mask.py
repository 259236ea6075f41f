"""Reference Mask: compares the rendered opacity with the reference's mask."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.image.reference import mask_error
from ..comfy import LOSS, PICTURES, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext
from ..core.pictures import Pictures, Target
from ..core.schedule import Schedule
from .reference import ReferenceMeasure, need_mask

TITLE = "Reference Mask Loss"


@dataclass(frozen=True)
class ReferenceMask:
    """Compares opacity with the reference's mask: the mean over pixels of squared differences.

    weight  published: 100 (DreamCraft3D) or 50 (Stable-Zero123) next to an SDS of 0.1, which is a sum over the elements
            of each view
    """

    reference: Pictures
    weight: Schedule = Schedule.of(100.0)
    name: str = "reference mask"
    wanted: frozenset[str] = frozenset({"opacity"})

    def __post_init__(self):
        need_mask(TITLE, self.reference)

    def prepare(self, context: RunContext) -> ReferenceMeasure:
        return ReferenceMeasure(TITLE, self.reference, _error, self.weight)


def _error(look: Look, target: Target) -> Tensor:
    return mask_error(look.rendering.opacity, target.mask)


class ReferenceMaskLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ReferenceMaskLoss", display_name=TITLE, category="Distill3D/losses",
            description="Compares opacity with the reference's mask: the mean over pixels of squared differences.",
            search_aliases=["image to 3d", "silhouette", "alpha", "opacity"],
            inputs=[
                PICTURES.Input("reference", tooltip="From Reference View or Join Pictures. The Objective must have "
                                                    "their views."),
                scheduled("weight", 100.0, "Weight of this loss, a mean over pixels. SDS is a sum over the elements of "
                          "each view; published: 50 to 100 next to an SDS Loss of 0.1.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, reference, weight=100.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, ReferenceMask(reference, Schedule.of(weight))))
