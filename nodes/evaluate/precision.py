"""Prompt precision: whether, of all objects in a list of prompts, the prompted one is nearest to the result.

After CLIP R-Precision (Park et al. 2021), which DreamFusion reports with and without colour. Here the true shape of
every prompt is known, so pictures are compared directly and no CLIP model is needed.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import torch
from torch import Tensor

from ..core.errors import DistillError
from .views import Pictures

EQUAL = 1e-8  # mean squared difference below which two true objects are the same object


@dataclass(frozen=True)
class Ranking:
    """order: indices of the prompts, nearest first; is_right: the nearest is the own prompt, or its equal;
    equals: prompts whose truth is identical to the own one, the own one included."""

    order: tuple[int, ...]
    is_right: bool
    equals: tuple[int, ...]


@dataclass(frozen=True)
class Precision:
    """color: by albedo pictures; textureless: by gray pictures, in which only geometry counts."""

    color: Ranking
    textureless: Ranking


def prompt_precision(result: Pictures, truths: Sequence[Pictures], own: int) -> Precision:
    """Ranks all true objects by their distance from a result.

    truths  pictures of every prompt's true shape, from the cameras of `result`
    own     index of the prompt that made the result
    """
    return Precision(rank(result.color, [truth.color for truth in truths], own),
                     rank(result.gray, [truth.gray for truth in truths], own))


def rank(image: Tensor, candidates: Sequence[Tensor], own: int) -> Ranking:
    """Candidates by mean squared distance from `image` (all [B,H,W,C]), in canonical pose.

    Textureless pictures of prompts that name the same shapes in other colours are equal; any of them counts as right.
    """
    if not 0 <= own < len(candidates):
        raise DistillError(f"Prompt precision: prompt {own} is not among the {len(candidates)} candidates.")
    distance = torch.stack([(candidate - image).square().mean() for candidate in candidates])
    order = tuple(distance.argsort(stable=True).tolist())
    equals = tuple(index for index, candidate in enumerate(candidates)
                   if float((candidate - candidates[own]).square().mean()) < EQUAL)
    return Ranking(order, order[0] in equals, equals)
