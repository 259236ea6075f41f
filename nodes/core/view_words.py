"""View words: a camera direction as words of a prompt.

Coarse words are the published ones ("front view", DreamFusion sec. 3.2). Fine words are two tokens such as
"az30 el-15", which only priors trained on them understand. Azimuth 0 is the front, degrees.
"""

from __future__ import annotations

import math

STEP = 5  # degrees between fine words; turning a cube by 5 degrees moves its edges in a 32x32 picture by half a pixel
AZIMUTH_WORDS = tuple(f"az{a}" for a in range(0, 360, STEP))
ELEVATION_WORDS = tuple(f"el{e}" for e in range(-45, 76, STEP))
COARSE_VIEWS = ("front view", "side view", "back view", "overhead view")
VIEW_WORDS = ("front", "side", "back", "overhead", "view", *AZIMUTH_WORDS, *ELEVATION_WORDS)
OVERHEAD = 60.0  # elevation above which a view is "overhead" (DreamFusion)


def coarse_view(azimuth: float, elevation: float, overhead: float = OVERHEAD, front: float = 45.0,
                back: float = 45.0) -> str:
    """The words "front view" (|azimuth| <= front), "back view" (|azimuth| >= 180 - back), "side view", or "overhead
    view".

    azimuth, elevation  degrees, any range of azimuth
    overhead            elevation above which the view is an overhead view for every azimuth, degrees
    front, back         half the width of the front and back sectors, degrees; published: 45, and 30 for VSD
                        (threestudio)
    """
    if elevation > overhead:
        return "overhead view"
    azimuth = abs((azimuth + 180.0) % 360.0 - 180.0)
    if azimuth <= front:
        return "front view"
    return "back view" if azimuth >= 180.0 - back else "side view"


def fine_view(azimuth: float, elevation: float) -> str:
    """Both angles rounded to 5 degrees, as in "az30 el-15".

    azimuth, elevation  degrees; azimuth wraps around, elevation is clamped to -45 .. 75.
    """
    azimuth = math.floor(azimuth / STEP + 0.5) * STEP % 360
    elevation = min(max(math.floor(elevation / STEP + 0.5) * STEP, -45), 75)
    return f"az{azimuth} el{elevation}"
