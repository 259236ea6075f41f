"""Reference Normal: compares the rendered normals with the reference's normal map."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.image.reference import normal_error
from ..comfy import LOSS, PICTURES, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext
from ..core.pictures import Pictures, Target
from ..core.schedule import Schedule
from .reference import ReferenceMeasure, need_image

TITLE = "Reference Normal Loss"


@dataclass(frozen=True)
class ReferenceNormal:
    """Compares normals inside the mask with the reference's: the mean over pixels of 1 - cosine.

    Normals are in camera axes. Nearly empty pixels (a rendered normal shorter than 0.05) are ignored.

    weight  relative to a score loss, which is a sum over the elements of each view. The published recipes include this
            loss with weight 0
    """

    reference: Pictures
    weight: Schedule = Schedule.of(1.0)
    name: str = "reference normal"
    wanted: frozenset[str] = frozenset({"normal", "opacity"})

    def __post_init__(self):
        need_image(TITLE, self.reference, "normal")

    def prepare(self, context: RunContext) -> ReferenceMeasure:
        return ReferenceMeasure(TITLE, self.reference, _error, self.weight)


def _error(look: Look, target: Target) -> Tensor:
    rendering = look.rendering
    if rendering.normal is None:
        raise DistillError(f"{TITLE}: this scene's renderer gives no normals. Use a field with normals, or remove this "
                           "loss.")
    turned = torch.einsum("bij,bhwi->bhwj", look.cameras.c2w[:, :3, :3], rendering.normal)
    return normal_error(turned, target.normal, target.inside)


class ReferenceNormalLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ReferenceNormalLoss", display_name=TITLE, category="Distill3D/losses",
            description="Compares normals inside the mask with the reference's: the mean over pixels of 1 - cosine.",
            search_aliases=["image to 3d", "normal map", "omnidata", "cosine"],
            inputs=[
                PICTURES.Input("reference", tooltip="Pictures with normals, from Reference View, which sets the axes "
                               "of the map, or from Join Pictures. The Objective must have their views."),
                scheduled("weight", 1.0, "Weight of this loss, a mean over pixels. SDS is a sum over the elements of "
                          "each view. The published recipes do not use it.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, reference, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, ReferenceNormal(reference, Schedule.of(weight))))
