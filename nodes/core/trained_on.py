"""What a prior was trained on, and where the wiring of a run differs from it."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Mapping

from .cameras import Cameras
from .prompt import AUTOMATIC, INTERPOLATED, VIEW_WORDINGS, Prompt

Range = tuple[float, float]
COARSE, NONE = VIEW_WORDINGS[0], VIEW_WORDINGS[2]
TEXT_VIEWS = (COARSE, INTERPOLATED, NONE)  # what models of plain text-to-image understand


@dataclass(frozen=True)
class TrainedOn:
    """What the published recipe of a prior says of its training pictures. None, or an empty tuple: it says nothing.

    pixels      side of a picture
    fovy        vertical field of view, degrees
    view_size   Cameras.view_size: half the height that a picture covers at the centre of the object, world units
    elevation   degrees
    centred     whether every camera looks at the centre of the object
    view_words  the view words of its captions, some of VIEW_WORDINGS, the best first
    guidance    the scales with which score distillation is published for it, in the standard form
    """

    pixels: int | None = None
    fovy: Range | None = None
    view_size: Range | None = None
    elevation: Range | None = None
    centred: bool = False
    view_words: tuple[str, ...] = ()
    guidance: Range | None = None

    @staticmethod
    def read(facts: Mapping[str, Any]) -> "TrainedOn":
        """From the content of a JSON file, where ranges are lists. Raises TypeError for an unknown name."""
        return TrainedOn(**{name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()})

    def differences(self, name: str, cameras: Cameras, side: int, prompt: Prompt | None = None,
                    guidance: float | None = None) -> list[str]:
        """One sentence for each fact in which a run differs materially, with what to set.

        name      of the prior
        cameras   some of the run's views
        side      height and width of a rendering, pixels
        guidance  the scale of the loss; None: it is not compared
        """
        found = [*self._of_cameras(cameras), *self._of_size(side), *self._of_words(prompt),
                 *self._of_guidance(guidance)]
        return [f"{name}: {text}" for text in found]

    def _of_cameras(self, cameras: Cameras) -> list[str]:
        found = []
        fovy, size, elevation = cameras.fovy.rad2deg(), cameras.view_size, cameras.elevation.rad2deg()
        if self.fovy and not cameras.is_orthographic and _leaves(fovy, self.fovy, 12.0):
            found.append(f"the field of view of the cameras is {_range(fovy)} degrees, and it was trained on "
                         f"{_said(self.fovy)}. Set the field of view to that.")
        if self.view_size and _leaves(size, self.view_size, 0.25 * self.view_size[1]):
            looks = "large" if size.mean() < self.view_size[0] else "small"
            found.append(f"from the middle of a picture to its upper edge it is {_range(size)} world units, and it "
                         f"was trained on {_said(self.view_size)}, so that objects look too {looks} to it."
                         f"{self._distance()}")
        if self.elevation and _leaves(elevation, self.elevation, 10.0):
            found.append(f"the elevation of the cameras is {_range(elevation)} degrees, and it was trained on "
                         f"{_said(self.elevation)}. Set the elevation to that.")
        if self.centred and (shift := _off_centre(cameras)) > 0.1:
            found.append(f"the cameras look past the centre of the object by {shift:.2g} world units on average, and "
                         "it was trained on centred pictures. Set position_jitter, target_jitter and up_jitter to 0.")
        return found

    def _distance(self) -> str:
        """What to set for the trained view size."""
        if not self.fovy:
            return ""
        fovy = sum(self.fovy) / 2
        distances = tuple(size / math.tan(math.radians(fovy) / 2) for size in self.view_size)
        return f" With a field of view of {fovy:.3g} degrees, set the distance to {_said(distances)}."

    def _of_size(self, side: int) -> list[str]:
        # Latent priors are published with renderings of 64 pixels, which are enlarged; larger ones than the prior's are
        # published too.
        least = min(self.pixels or 0, 64)
        if side >= 0.75 * least:
            return []
        return [f"pictures of {side} pixels are rendered, and it was trained on {self.pixels}. Set the resolution of "
                f"the Objective to {least} or more."]

    def _of_words(self, prompt: Prompt | None) -> list[str]:
        if prompt is None or not self.view_words or prompt.views in (*self.view_words, AUTOMATIC):
            return []
        return [f'the View Prompt adds view words of the kind "{prompt.views}", and it was trained on '
                f'"{self.view_words[0]}". Set "views" of View Prompt to that, or to "{AUTOMATIC}".']

    def _of_guidance(self, guidance: float | None) -> list[str]:
        if guidance is None or not self.guidance or self.guidance[0] * 0.6 <= guidance <= self.guidance[1] * 1.6:
            return []
        return [f"guidance is {guidance:g}, and published runs with it use {_said(self.guidance)}. Set guidance of the "
                "loss to that."]


def _leaves(values, limits: Range, slack: float) -> bool:
    return bool(values.min() < limits[0] - slack or values.max() > limits[1] + slack)


def _off_centre(cameras: Cameras) -> float:
    """Mean distance of the optical axes from the origin."""
    position, forward = cameras.position, -cameras.c2w[:, :3, 2]
    along = (position * forward).sum(-1, keepdim=True)
    return float((position - along * forward).norm(dim=-1).mean())


def _range(values) -> str:
    return _said((float(values.min()), float(values.max())))


def _said(limits: Range) -> str:
    low, high = (f"{limit:.3g}" for limit in limits)
    return low if low == high else f"{low} to {high}"
