"""Guidance: combining predictions under several conditions.

All of these are linear in the prediction, so they hold alike for predicted noise, velocity and clean images (z0).
"""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor


def guide(negative: Tensor, positive: Tensor, scale: float | Tensor) -> Tensor:
    """Classifier-free guidance, negative + scale * (positive - negative) (Ho and Salimans 2022, standard form).

    negative, positive  [B,...]
    scale  number or [B]: 1 is the positive prediction itself. Papers that write positive + s * (positive - negative)
           (DreamFusion, and threestudio's plain Stable Diffusion and DeepFloyd guidance) mean scale = s + 1 here.
    """
    return negative + _per_sample(scale, positive) * (positive - negative)


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


def threshold(z0: Tensor, share: float) -> Tensor:
    """Dynamic thresholding (Saharia et al. 2022, Imagen, sec. 2.3): pixels are clamped to [-p,p], where p is this share
    of their absolute values, at least 1, and divided by p. For pixels in [-1,1] at a high guidance scale.

    z0     [B,C,h,w]
    share  in (0,1]; published: 0.995
    """
    largest = torch.quantile(z0.abs().flatten(1).float(), share, dim=1).clamp_min(1.0).to(z0)
    largest = largest.reshape(-1, *[1] * (z0.ndim - 1))
    return z0.clamp(-largest, largest) / largest


def limit(gradient: Tensor, value: float = 0.0, norm: float = 0.0) -> Tensor:
    """A gradient [B,...] with every element clamped to [-value, value], and then each sample shortened to at most
    `norm` per square root of its number of elements. 0: no limit."""
    if value:
        gradient = gradient.clamp(-value, value)
    if norm:
        length = gradient.flatten(1).square().mean(1).sqrt()
        gradient = gradient * (norm / length.clamp_min(1e-30)).clamp(max=1.0).reshape(-1, *[1] * (gradient.ndim - 1))
    return gradient


def perpendicular(vector: Tensor, axis: Tensor) -> Tensor:
    """The part of `vector` [B,...] that is perpendicular to `axis` [B,...], per sample over all other axes."""
    rest = tuple(range(1, vector.ndim))
    along = (vector * axis).sum(rest, keepdim=True) / (axis * axis).sum(rest, keepdim=True).clamp_min(
        torch.finfo(axis.dtype).tiny)
    return vector - along * axis


def perp_negative(unconditional: Tensor, positive: Tensor, negatives: Sequence[Tensor], weights: Tensor,
                  scale: float | Tensor) -> Tensor:
    """Guidance away from some texts without undoing the positive one (Perp-Neg, Armandpour et al. 2023).

    unconditional + scale * (e + sum_i weights_i * perpendicular(negative_i - unconditional, e)), e = positive -
    unconditional

    unconditional, positive  [B,...]
    negatives  N of [B,...], the predictions under the texts to stay away from
    weights    [B,N]: below 0 pushes away, 0 ignores a text
    scale      number or [B], standard form as in `guide`: without negatives the two agree. threestudio's numbers for
               its perp-neg branch are already in this form, unlike those of its plain branch.
    """
    towards = positive - unconditional
    direction = towards
    for negative, weight in zip(negatives, weights.unbind(1), strict=True):
        direction = direction + _per_sample(weight, positive) * perpendicular(negative - unconditional, towards)
    return unconditional + _per_sample(scale, positive) * direction


def _per_sample(number: float | Tensor, like: Tensor) -> float | Tensor:
    """A number as it is; [B] as [B,1,...] beside `like`."""
    return number.reshape(-1, *[1] * (like.ndim - 1)).to(like) if isinstance(number, Tensor) else number
