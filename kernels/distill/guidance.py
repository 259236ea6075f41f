"""Guidance: combining predictions under several conditions.

All of these are linear in the prediction, so they hold alike for predicted noise, velocity and clean images (z0).
"""
from __future__ import annotations

import torch
from torch import Tensor


def guide(negative: Tensor, positive: Tensor, scale: float | Tensor) -> Tensor:
    """Classifier-free guidance, negative + scale * (positive - negative) (Ho and Salimans 2022, standard form).

    negative, positive  [B,...]
    scale  number or [B]: 1 is the positive prediction itself. Papers that write positive + s * (positive - negative)
           (DreamFusion, and threestudio's plain Stable Diffusion and DeepFloyd guidance) mean scale = s + 1 here.
    """
    if isinstance(scale, Tensor):
        scale = scale.reshape(-1, *[1] * (positive.ndim - 1)).to(positive)
    return negative + scale * (positive - negative)


def rescale(guided: Tensor, positive: Tensor, amount: float, views: int = 1) -> Tensor:
    """Pulls the guided z0's contrast back to that of the positive one (Lin et al. 2024, eqs. 15, 16).

    guided, positive  [B,C,h,w] predictions of z0
    amount  0 leaves `guided`, 1 gives it exactly the standard deviation of `positive`
    views   the deviation is taken over groups of this many images (MVDream: all views of a group)
    """
    def deviation(z: Tensor) -> Tensor:
        grouped = z.reshape(-1, views * z[0].numel()).std(dim=1, keepdim=True)
        return grouped.repeat_interleave(views, 0).reshape(-1, *[1] * (z.ndim - 1))

    factor = deviation(positive) / deviation(guided).clamp_min(1e-8)
    return guided * (amount * factor + (1 - amount))


def perpendicular(vector: Tensor, axis: Tensor) -> Tensor:
    """The part of `vector` [B,...] that is perpendicular to `axis` [B,...], per sample over all other axes."""
    rest = tuple(range(1, vector.ndim))
    along = (vector * axis).sum(rest, keepdim=True) / (axis * axis).sum(rest, keepdim=True).clamp_min(
        torch.finfo(axis.dtype).tiny)
    return vector - along * axis
