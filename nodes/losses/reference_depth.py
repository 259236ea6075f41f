"""Reference Depth: compares the rendered depth with the reference's depth map."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.image.reference import absolute_depth_error, relative_depth_error
from ..comfy import LOSS, PICTURES, Node, io, scheduled
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext
from ..core.pictures import Pictures, Target
from ..core.rendering import Rendering
from ..core.schedule import Schedule
from .reference import ReferenceMeasure, need_image

TITLE = "Reference Depth Loss"
KINDS = {"relative": relative_depth_error, "absolute": absolute_depth_error}
SEEN = 0.1  # pixels of a lower opacity have no depth


@dataclass(frozen=True)
class ReferenceDepth:
    """Compares depth inside the mask with the reference's, up to an unknown scale and shift.

    kind    "relative": 1 - Pearson correlation, which is invariant to both. "absolute": the mean of squared
            differences, world units, after the best-fitting scale and shift of the reference
    weight  published: 0.05 relative next to an SDS of 0.1, which is a sum over the elements of each view (DreamCraft3D)

    The compared depth of a pixel is its mean depth along the camera's axis, as depth estimators define it.
    """

    reference: Pictures
    kind: str = "relative"
    weight: Schedule = Schedule.of(0.05)
    name: str = "reference depth"
    wanted: frozenset[str] = frozenset({"depth", "opacity"})

    def __post_init__(self):
        need_image(TITLE, self.reference, "depth")

    def prepare(self, context: RunContext) -> ReferenceMeasure:
        return ReferenceMeasure(TITLE, self.reference, self._error, self.weight)

    def _error(self, look: Look, target: Target) -> Tensor:
        inside = target.inside & target.depth.isfinite() & (look.rendering.opacity > SEEN)
        return KINDS[self.kind](axial_depth(look.rendering, look.cameras), target.depth.nan_to_num(), inside)


def axial_depth(rendering: Rendering, cameras: Cameras) -> Tensor:
    """Mean depth along the camera's axis [B,H,W,1], world units; undefined where opacity is SEEN or less.

    It is divided by the opacity, so that its gradient moves density along the ray instead of adding density.
    """
    if rendering.depth is None:
        raise DistillError(f"{TITLE}: this scene's renderer gives no depth. Use a renderer of this pack, or remove "
                           "this loss.")
    _, directions = cameras.rays()
    along = torch.einsum("bhwi,bi->bhw", directions, -cameras.c2w[:, :3, 2])[..., None]
    return along * rendering.depth / rendering.opacity.clamp_min(SEEN)


class ReferenceDepthLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ReferenceDepthLoss", display_name=TITLE, category="Distill3D/losses",
            description="Compares depth inside the mask with the reference's, up to an unknown scale and shift.",
            search_aliases=["image to 3d", "pearson", "relative depth", "midas", "depth anything"],
            inputs=[
                PICTURES.Input("reference", tooltip="Pictures with depth, from Reference View or Join Pictures. The "
                               "Objective must have their views."),
                io.Combo.Input("kind", options=list(KINDS), default="relative", tooltip="relative: 1 - Pearson "
                               "correlation; absolute: squared differences after the best-fitting scale and shift of "
                               "the reference."),
                scheduled("weight", 0.05, "Weight of this loss. SDS is a sum over the elements of each view; "
                          "published: 0.05 relative next to an SDS Loss of 0.1.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, reference, kind="relative", weight=0.05, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, ReferenceDepth(reference, kind, Schedule.of(weight))))
