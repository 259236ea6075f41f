"""Distances between unit embeddings of pictures and texts."""
from __future__ import annotations

import torch
from torch import Tensor

from ..checks import check_shape

MEASURES = ("cosine", "spherical")


def embedding_distance(one: Tensor, other: Tensor, measure: str = "cosine") -> Tensor:
    """Row by row, the distance of unit embeddings one [B,P] and other [B,P]: [B], 0 where they are equal.

    measure  "cosine": 1 - cos (Dream Fields, Jain et al. 2022, eq. 5, plus 1);
             "spherical": half the squared angle, 2 arcsin(|a - b| / 2)^2, whose slope does not vanish for opposite
             embeddings

    Differentiable; the slope of "spherical" is 0 where both are equal. Raises ValueError for another measure.
    """
    check_shape("one", one, "B", "P")
    check_shape("other", other, *one.shape)
    if measure not in MEASURES:
        raise ValueError(f'measure must be one of {MEASURES}, got "{measure}"')
    if measure == "cosine":
        return 1 - (one * other).sum(1)
    half = 0.5 * ((one - other).square().sum(1) + 1e-12).sqrt()
    return 2 * torch.arcsin(half.clamp(max=1 - 1e-6)).square()


def rank_of_own(pictures: Tensor, texts: Tensor, own: Tensor) -> Tensor:
    """The rank, from 0, of each picture's text among all texts by cosine: [B] int64.

    pictures [B,P], texts [N,P]  unit; own [B] the index of each picture's text
    """
    cosine = pictures @ texts.T
    return (cosine > cosine.gather(1, own[:, None])).sum(1)
