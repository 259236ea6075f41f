"""A prompt, and the view words that are appended to it for each camera."""
from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Sequence

from .cameras import Cameras
from .view_guidance import PerpNegWeights, ViewGuidance, view_guidance
from .view_words import COARSE_VIEWS, coarse_view, fine_view

INTERPOLATED = "front/side/back/overhead, interpolated"
AUTOMATIC = "as the prior was trained"
VIEW_WORDINGS = ("front/side/back/overhead", "degrees", "none", INTERPOLATED, AUTOMATIC)


@dataclass(frozen=True)
class Prompt:
    """The value of a PROMPT wire.

    text         describes the object
    negative     the negative prompt, without view words
    views        "front/side/back/overhead": the published suffixes (a later one overrides: side, front, back, overhead,
                 as in threestudio). "degrees": the angle words of the built-in prior. "none": no suffix.
                 "..., interpolated": Perp-Neg between the published suffixes; losses call `guidance_of_cameras`.
                 "as the prior was trained": what `for_words` chooses; the published suffixes before that
    overhead     elevation above which a view is "overhead", degrees
    weights      of the negative view words, for interpolated views
    front, back  half the width of the front and back sectors, degrees; ignored for interpolated views
    """

    text: str
    negative: str = ""
    views: str = VIEW_WORDINGS[0]
    overhead: float = 60.0
    weights: PerpNegWeights = PerpNegWeights()
    front: float = 45.0
    back: float = 45.0

    @property
    def is_interpolated(self) -> bool:
        return self.views == INTERPOLATED

    def for_words(self, known: Sequence[str]) -> "Prompt":
        """The prompt for a prior that was trained on the view words `known`, the best first; an empty sequence: its
        recipe names none, and gets the published suffixes."""
        if self.views != AUTOMATIC:
            return self
        return replace(self, views=known[0] if known else VIEW_WORDINGS[0])

    def of_view(self, azimuth: float, elevation: float) -> str:
        """The text of a view, with the nearest suffix for interpolated views. Angles in degrees."""
        if self.views == "none":
            return self.text
        if self.views == "degrees":
            return f"{self.text}, {fine_view(azimuth, elevation)}"
        return f"{self.text}, {coarse_view(azimuth, elevation, self.overhead, self.front, self.back)}"

    def of_cameras(self, cameras: Cameras) -> list[str]:
        """One text per camera."""
        return [self.of_view(azimuth, elevation) for azimuth, elevation in _degrees(cameras)]

    def all_texts(self) -> tuple[str, ...]:
        """Every text that a loss can need, the negative prompt first, so that all are encoded in one batch.

        Empty for words in degrees, which make 1,800 texts.
        """
        if self.views == "degrees":
            return ()
        texts = (self.text,) if self.views == "none" else (f"{self.text}, {view}" for view in COARSE_VIEWS)
        return tuple(dict.fromkeys((self.negative, *texts)))

    def guidance_of_cameras(self, cameras: Cameras) -> list[ViewGuidance]:
        """The positive and negative texts of each camera, with their weights, for interpolated views."""
        return [view_guidance(self.text, self.negative, azimuth, elevation, self.overhead, self.weights)
                for azimuth, elevation in _degrees(cameras)]


def _degrees(cameras: Cameras) -> list[tuple[float, float]]:
    """Azimuth and elevation of each camera."""
    return [(math.degrees(azimuth), math.degrees(elevation)) for azimuth, elevation in cameras.angles]
