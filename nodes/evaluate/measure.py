"""Similarity of pictures of a result and of the truth."""
from __future__ import annotations

import math
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from .views import Pictures

LARGEST_PSNR = 100.0  # dB, for equal pictures, because JSON has no infinity


@dataclass(frozen=True)
class Scores:
    """iou 0..1; psnr dB; color_error 0..1; normal_error degrees, None where the silhouettes do not overlap."""

    iou: float
    psnr: float
    color_error: float
    normal_error: float | None


def score(result: Pictures, truth: Pictures) -> Scores:
    """All measures of one result, both taken from the same cameras."""
    return Scores(mean_silhouette_iou(result.opacity, truth.opacity), color_psnr(result.color, truth.color),
                  color_error(result.color, truth.color, truth.opacity), normal_error(result, truth))


def mean_silhouette_iou(opacity: Tensor, truth: Tensor) -> float:
    """Intersection over union of the pixels that are more than half opaque, [B,H,W,1] both, mean over views.

    A view in which both are empty counts as 1.
    """
    one, other = opacity > 0.5, truth > 0.5
    intersection, union = (one & other).sum((1, 2, 3)), (one | other).sum((1, 2, 3))
    return float(((intersection + (union == 0)) / union.clamp(min=1)).mean())


def color_psnr(color: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of pictures in [0,1], [B,H,W,3], of the error over all views; at most 100."""
    error = float((color - truth).square().mean())
    return min(LARGEST_PSNR, -10 * math.log10(max(error, 1e-30)))


def color_error(color: Tensor, truth: Tensor, silhouette: Tensor) -> float:
    """Mean absolute difference of colours [B,H,W,3] inside the true silhouette [B,H,W,1] > 0.5; 0 if that is empty."""
    inside = (silhouette > 0.5).squeeze(-1)
    return float((color - truth)[inside].abs().mean()) if bool(inside.any()) else 0.0


def saturation(color: Tensor, opacity: Tensor) -> float | None:
    """Mean of (largest - smallest) / largest channel of colours [B,H,W,3] over white where opacity [B,H,W,1] > 0.5;
    None where nothing is."""
    inside = color[(opacity > 0.5).squeeze(-1)]
    if not len(inside):
        return None
    largest = inside.amax(-1)
    return float(((largest - inside.amin(-1)) / largest.clamp(min=1e-6)).mean())


def normal_error(result: Pictures, truth: Pictures) -> float | None:
    """Mean angle in degrees between normals where both are more than half opaque; None if they never are."""
    both = ((result.opacity > 0.5) & (truth.opacity > 0.5)).squeeze(-1)
    if not bool(both.any()):
        return None
    cosine = (F.normalize(result.normal[both], dim=-1) * F.normalize(truth.normal[both], dim=-1)).sum(-1)
    return math.degrees(float(cosine.clamp(-1, 1).acos().mean()))
