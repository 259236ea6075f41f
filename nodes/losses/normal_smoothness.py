"""Normal Smoothness loss: reduces ripples of surfaces, in image space or in world space."""
from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ...kernels.image.geometry import unit_normals
from ...kernels.image.variation import squared_variation
from ..comfy import LOSS, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext
from ..core.rendering import Rendering
from ..core.schedule import Schedule
from .weighted import WeightedMeasure, samples_of

TITLE = "Normal Smoothness Loss"
UNIT = "picture, unit normals"
WANTED = {"picture": frozenset({"normal", "opacity"}), UNIT: frozenset({"normal", "opacity"}),
          "space": frozenset({"samples", "normal", "nearby"})}


@dataclass(frozen=True)
class NormalSmoothness:
    """Smooths normals: of neighbouring pixels, or of neighbouring points in space.

    kind    "picture": squared differences between neighbouring pixels of the normal image, (n + 1) / 2 times opacity,
            including silhouettes. "picture, unit normals": the same for normals rescaled to unit length, so that
            normals that disagree along a ray cannot lower it (threestudio). "space": absolute differences between the
            normal at each sample and at a point about 0.01 world units away, a mean over samples and axes; needs a
            renderer with samples along rays
    weight  relative to a score loss, which is a sum over the elements of each view: 5 to 10 of each kind next to an SDS
            of 0.1 (threestudio's Stable-Zero123)
    """

    kind: str = "picture"
    weight: Schedule = Schedule.of(1.0)

    def __post_init__(self):
        if self.kind not in WANTED:
            raise DistillError(f'{TITLE}: kind "{self.kind}" is unknown. Use one of {", ".join(WANTED)}.')

    @property
    def name(self) -> str:
        return f"normal smoothness in {self.kind}"

    @property
    def wanted(self) -> frozenset[str]:
        return WANTED[self.kind]

    def prepare(self, context: RunContext) -> WeightedMeasure:
        return WeightedMeasure({"picture": _in_picture, UNIT: _of_unit_normals, "space": _in_space}[self.kind],
                               self.weight)


def _in_picture(look: Look) -> Tensor:
    rendering = _checked(look)
    return squared_variation(0.5 * (rendering.normal + rendering.opacity))


def _of_unit_normals(look: Look) -> Tensor:
    rendering = _checked(look)
    return squared_variation(unit_normals(rendering.normal, rendering.opacity))


def _checked(look: Look) -> Rendering:
    if look.rendering.normal is None:
        raise DistillError(f"{TITLE}: this renderer gives no normals. Use a field with normals, or remove this loss.")
    return look.rendering


def _in_space(look: Look) -> Tensor:
    samples = samples_of(look.rendering, TITLE, normals=True)
    difference = (samples.normal - samples.nearby).abs()
    return difference.sum() / max(difference.numel(), 1)


class NormalSmoothnessLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_NormalSmoothnessLoss", display_name=TITLE, category="Distill3D/losses",
            description="Smooths normals between neighbouring pixels or neighbouring points in space.",
            search_aliases=["normal smooth", "total variation", "ripples", "zero123"],
            inputs=[
                io.Combo.Input("kind", options=list(WANTED), default="picture",
                               tooltip="picture: squared differences between neighbouring pixels. picture, unit "
                                       "normals: the same for normals of unit length (threestudio). space: differences "
                                       "between each sample and a point 0.01 units away, which evaluates the field "
                                       "twice."),
                scheduled("weight", 1.0, "Weight of this loss, a mean. SDS is a sum over the elements of each view; "
                                         "published: 5 to 10 of each kind next to an SDS Loss of "
                                         "0.1.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, kind="picture", weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        return io.NodeOutput((*losses, NormalSmoothness(kind, Schedule.of(weight))))
