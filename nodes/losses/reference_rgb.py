"""Reference RGB: compares the rendered colours with the reference picture."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.image.reference import METRICS, color_error, erode
from ..comfy import LOSS, PICTURES, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext
from ..core.pictures import Pictures, Target
from ..core.schedule import Schedule
from .reference import ReferenceMeasure

TITLE = "Reference RGB Loss"
REGIONS = ("picture", "object")


@dataclass(frozen=True)
class ReferenceRGB:
    """Compares colours with the reference, composited over the rendered background.

    metric   "mse" (published) or "l1" (DreamCraft3D's texture stage)
    region   "picture": all pixels; "object": those inside the mask
    erosion  of the region "object", in pixels of the rendering, because masks are least accurate at edges; published
             with l1: 4 of 1024, a brush of 9x9
    weight   of a mean over pixels and channels. Published: 1000 (DreamCraft3D), 100 to 1000 (Stable-Zero123) next to an
             SDS of 0.1, which is a sum over the elements of each view
    """

    reference: Pictures
    metric: str = METRICS[0]
    region: str = REGIONS[0]
    erosion: int = 0
    weight: Schedule = Schedule.of(1000.0)
    name: str = "reference rgb"
    wanted: frozenset[str] = frozenset({"rgb", "background"})

    def prepare(self, context: RunContext) -> ReferenceMeasure:
        return ReferenceMeasure(TITLE, self.reference, self._error, self.weight)

    def _error(self, look: Look, target: Target) -> Tensor:
        rendering = look.rendering
        if rendering.background is None:
            raise DistillError(f"{TITLE}: this scene's renderer does not return its background. Use a renderer of "
                               "this pack, or remove this loss.")
        wanted = target.rgb + (1 - target.mask) * rendering.background
        inside = erode(target.inside, self.erosion) if self.region == "object" else None
        return color_error(rendering.rgb, wanted, self.metric, inside)


class ReferenceRGBLossNode(Node):
    advanced = ("metric", "region", "erosion")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_ReferenceRGBLoss", display_name=TITLE, category="Distill3D/losses",
            description="Compares colours with the reference, which stands before the background that is rendered.",
            search_aliases=["image to 3d", "photometric", "reconstruction", "mse", "l1"],
            inputs=[
                PICTURES.Input("reference", tooltip="From Reference View or Join Pictures. The Objective must have "
                                                    "their views."),
                io.Combo.Input("metric", options=list(METRICS), default=METRICS[0], tooltip="mse: mean of squared "
                               "differences. l1: mean of absolute differences, which blurs less."),
                io.Combo.Input("region", options=list(REGIONS), default=REGIONS[0], tooltip="The whole picture, or "
                               "only the inside of the object's mask."),
                io.Int.Input("erosion", default=0, min=0, max=256, tooltip='Erosion of the region "object", in '
                             "pixels of the rendering. Published for textures: 4, with l1 at 1024 pixels."),
                scheduled("weight", 1000.0, "Weight of this loss, a mean over pixels. SDS is a sum over the elements "
                          "of each view; published: 1000 next to an SDS Loss of 0.1.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, reference, metric=METRICS[0], region=REGIONS[0], erosion=0, weight=1000.0,
                losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, ReferenceRGB(reference, metric, region, erosion, Schedule.of(weight))))
