"""A prompt and the words that are added to it for each view."""
from __future__ import annotations

import math
from dataclasses import dataclass

from .cameras import Cameras
from .view_guidance import PerpNegWeights, ViewGuidance, view_guidance
from .view_words import COARSE_VIEWS, coarse_view, fine_view

INTERPOLATED = "front/side/back/overhead, interpolated"
VIEW_WORDINGS = ("front/side/back/overhead", "degrees", "none", INTERPOLATED)


@dataclass(frozen=True)
class Prompt:
    """What a PROMPT wire carries.

    text      the object
    negative  what to steer away from; has no view words
    views     "front/side/back/overhead": the published suffixes (overrides in the order of threestudio: side, front,
              back, overhead); "degrees": the built-in prior's finer words; "none"; or the published words interpolated
              (Perp-Neg), for which losses ask `guidance_of_cameras`
    overhead  elevation in degrees above which a view is "overhead"
    weights   of the negative view words, where views are interpolated
    front, back  half the width of what counts as front and as back, degrees; not read where views are interpolated
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

    def of_view(self, azimuth: float, elevation: float) -> str:
        """The whole text for a view, the nearest one where views are interpolated. Angles in degrees."""
        if self.views == "none":
            return self.text
        if self.views == "degrees":
            return f"{self.text}, {fine_view(azimuth, elevation)}"
        return f"{self.text}, {coarse_view(azimuth, elevation, self.overhead, self.front, self.back)}"

    def of_cameras(self, cameras: Cameras) -> list[str]:
        """One text per camera."""
        return [self.of_view(azimuth, elevation) for azimuth, elevation in _degrees(cameras)]

    def all_texts(self) -> tuple[str, ...]:
        """Every text that a loss may ask for, the negative one first, so that all are encoded in one go.

        Empty where these are too many to be worth it: words in degrees make 1,800.
        """
        if self.views == "degrees":
            return ()
        texts = (self.text,) if self.views == "none" else (f"{self.text}, {view}" for view in COARSE_VIEWS)
        return tuple(dict.fromkeys((self.negative, *texts)))

    def guidance_of_cameras(self, cameras: Cameras) -> list[ViewGuidance]:
        """What each camera is led towards and away from, where views are interpolated."""
        return [view_guidance(self.text, self.negative, azimuth, elevation, self.overhead, self.weights)
                for azimuth, elevation in _degrees(cameras)]


def _degrees(cameras: Cameras) -> list[tuple[float, float]]:
    """Azimuth and elevation of each camera."""
    return [(math.degrees(azimuth), math.degrees(elevation)) for azimuth, elevation in cameras.angles]
