"""A prompt and the words that are added to it for each view."""
from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from .cameras import Cameras
from .view_words import coarse_view, fine_view

VIEW_WORDS = ("front/side/back/overhead", "degrees", "none")


@dataclass(frozen=True)
class Prompt:
    """What a PROMPT wire carries.

    text      the object
    negative  what to steer away from; has no view words
    views     "front/side/back/overhead": the published suffixes (overrides in the order of threestudio: side, front,
              back, overhead); "degrees": the built-in prior's finer words; "none"
    overhead  elevation in degrees above which a view is "overhead"
    """

    text: str
    negative: str = ""
    views: str = VIEW_WORDS[0]
    overhead: float = 60.0

    def of_view(self, azimuth: float, elevation: float) -> str:
        """The whole text for a view. Angles in degrees."""
        if self.views == "none":
            return self.text
        if self.views == "degrees":
            return f"{self.text}, {fine_view(azimuth, elevation)}"
        return f"{self.text}, {coarse_view(azimuth, elevation, self.overhead)}"

    def of_cameras(self, cameras: Cameras) -> list[str]:
        """One text per camera."""
        return [self.of_view(math.degrees(azimuth), math.degrees(elevation))
                for azimuth, elevation in zip(_numbers(cameras.azimuth), _numbers(cameras.elevation))]


def _numbers(angles: Tensor) -> list[float]:
    return angles.detach().cpu().tolist()
