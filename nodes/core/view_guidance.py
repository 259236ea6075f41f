"""Interpolated views (Perp-Neg): between "side view" and "front view" the positive condition is a mixture of both
texts, and both are negative conditions.

Source: Armandpour et al. 2023 (Perp-Neg), with the weight functions and numbers of threestudio.
"""
from __future__ import annotations

import math
from dataclasses import dataclass

from .view_words import COARSE_VIEWS, OVERHEAD


@dataclass(frozen=True)
class Decay:
    """height * exp(-rate * r) + shift for r in [0,1]."""

    height: float
    rate: float
    shift: float

    def __call__(self, r: float) -> float:
        return self.height * math.exp(-self.rate * r) + self.shift


@dataclass(frozen=True)
class PerpNegWeights:
    """Weights of the negative view texts, as functions of a share in [0,1]. Their sign is flipped for guidance.

    front_by_front  of "front view" in the front half, by the share of front: 0 at the front, 1.57 at the side
    side_by_side    of "side view" in the front half, by the share of side: 0 at the side, 1.57 at the front
    side_by_back    of "side view" in the back half, by the share of side: 0 at the side, 0.39 at the back
    front_by_back   of "front view" in the back half, by the share of side: 1.57 at the side, 1.97 at the back

    The numbers are threestudio's (perp_neg_f_fs, f_sf, f_sb, f_fsb of its prompt processors).
    """

    front_by_front: Decay = Decay(4.0, 0.5, -2.426)
    side_by_side: Decay = Decay(4.0, 0.5, -2.426)
    side_by_back: Decay = Decay(1.0, 0.5, -0.606)
    front_by_back: Decay = Decay(1.0, 0.5, 0.967)


@dataclass(frozen=True)
class ViewGuidance:
    """The positive and negative texts of one camera.

    positive   two texts whose embeddings are interpolated: (1 - share) * first + share * second
    share      of the second text, 0..1
    negatives  two negative texts
    weights    of the negatives, for kernels.distill.guidance.perp_negative; negative numbers push away from a text
    """

    positive: tuple[str, str]
    share: float
    negatives: tuple[str, str]
    weights: tuple[float, float]


def view_guidance(text: str, negative: str, azimuth: float, elevation: float, overhead: float = OVERHEAD,
                  weights: PerpNegWeights = PerpNegWeights()) -> ViewGuidance:
    """The positive and negative texts of a camera.

    text, negative      the prompt and the negative prompt, both without view words
    azimuth, elevation  degrees, any range of azimuth
    overhead            elevation above which a view is an overhead view, degrees; it has no negative view words
    """
    front, side, back, above = (f"{text}, {view}" for view in COARSE_VIEWS)
    if elevation > overhead:
        return ViewGuidance((above, above), 1.0, (negative, negative), (0.0, 0.0))
    turned = abs((azimuth + 180.0) % 360.0 - 180.0) / 90.0  # 0 front, 1 side, 2 back
    if turned < 1.0:
        r = 1.0 - turned
        return ViewGuidance((side, front), r, (front, side),
                            (-weights.front_by_front(r), -weights.side_by_side(1.0 - r)))
    r = 2.0 - turned
    return ViewGuidance((back, side), r, (side, front), (-weights.side_by_back(r), -weights.front_by_back(r)))
