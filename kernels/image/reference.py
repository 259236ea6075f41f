"""Errors of renderings against a picture of the same view: colour, silhouette, depth, normals.

All are means over pixels, while score distillation is a sum over the elements of each view, so their loss weights are
not comparable. `inside` [B,H,W,1] bool selects the pixels that count; the value is 0 if there are none.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import check_shape

METRICS = ("mse", "l1")
FLAT = 1e-5      # standard deviation over root mean square below which depths have no relief
SHORTEST = 0.05  # a rendered normal below this length does not count


def color_error(rgb: Tensor, target: Tensor, metric: str = "mse", inside: Tensor | None = None) -> Tensor:
    """Mean squared ("mse") or absolute ("l1") difference over pixels and channels.

    rgb, target  [B,H,W,C]
    inside       the pixels that count; None: all

    Returns a scalar. Differentiable in rgb and target. Raises ShapeError, ValueError for another metric.
    """
    check_shape("rgb", rgb, "B", "H", "W", "C")
    check_shape("target", target, *rgb.shape)
    if metric not in METRICS:
        raise ValueError(f'metric must be one of {", ".join(METRICS)}, got "{metric}"')
    difference = rgb - target
    error = (difference.square() if metric == "mse" else difference.abs()).mean(-1, keepdim=True)
    return _mean(error, torch.ones_like(error, dtype=torch.bool) if inside is None else inside)


def mask_error(opacity: Tensor, mask: Tensor) -> Tensor:
    """Mean squared difference of opacity and mask.

    opacity  [B,H,W,1], clamped to [0,1], outside of which the gradient is zero
    mask     [B,H,W,1] in [0,1]

    Returns a scalar in [0,1]. Differentiable. Raises ShapeError.
    """
    check_shape("opacity", opacity, "B", "H", "W", 1)
    check_shape("mask", mask, *opacity.shape)
    error = (opacity.clamp(0, 1) - mask).square()
    return _mean(error, torch.ones_like(error, dtype=torch.bool))


def relative_depth_error(depth: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """1 - Pearson correlation of two depths, mean over the views with pixels inside.

    depth, target  [B,H,W,1], both growing away from the camera, each with its own scale and shift

    Returns a scalar in [0,2], invariant to a positive scale and a shift of either. A view where one of the two is flat
    (to about 1e-5 of its size) counts as 1, without a gradient. Differentiable. Raises ShapeError.
    """
    a, b, inside = _rows(depth, target, inside)
    from_a, from_b = a - _row_mean(a, inside), b - _row_mean(b, inside)
    is_flat = _is_flat(a, from_a, inside) | _is_flat(b, from_b, inside)
    covariance = _row_mean(from_a * from_b, inside)
    # A flat view's variance is kept away from the root: an unused branch must not give a NaN gradient.
    spreads = [torch.where(is_flat, 1.0, _row_mean(x.square(), inside)).rsqrt() for x in (from_a, from_b)]
    error = torch.where(is_flat, 1.0, 1 - covariance * spreads[0] * spreads[1])
    return _mean(error, inside.any(1, keepdim=True))


def absolute_depth_error(depth: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Mean squared difference of depth and the target after the scale >= 0 and shift that bring the target closest to
    it.

    depth, target  [B,H,W,1], both growing away from the camera; the target's scale and shift are unknown and fitted per
                   view by least squares. An anti-correlated target is fitted as a plane (scale 0)

    Returns a scalar, squared units of depth: the mean over the views with pixels inside. Differentiable in depth, not
    in target. The fit depends on the depth too, but adds nothing to the gradient, because it is a minimum. Raises
    ShapeError.
    """
    a, b, inside = _rows(depth, target.detach(), inside)
    from_a, from_b = a - _row_mean(a, inside), b - _row_mean(b, inside)
    variance = _row_mean(from_b.square(), inside)
    scale = _row_mean(from_a.detach() * from_b, inside) / torch.where(variance > 0, variance, 1.0)
    error = _row_mean((from_a - scale.clamp_min(0) * from_b).square(), inside)
    return _mean(error, inside.any(1, keepdim=True))


def normal_error(normal: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Mean of 1 - cosine of the angle between two normals.

    normal, target  [B,H,W,3] of any length, in one frame. Where the normal is shorter than 0.05 (almost nothing was
                    rendered) or the target is zero, the pixel does not count

    Returns a scalar in [0,2]. Differentiable. Raises ShapeError.
    """
    check_shape("normal", normal, "B", "H", "W", 3)
    check_shape("target", target, *normal.shape)
    length, wanted = normal.norm(dim=-1, keepdim=True), F.normalize(target, dim=-1)
    cosine = (normal * wanted).sum(-1, keepdim=True) / length.clamp_min(SHORTEST)
    return _mean(1 - cosine, inside & (length > SHORTEST) & (wanted != 0).any(-1, keepdim=True))


def erode(inside: Tensor, pixels: int) -> Tensor:
    """Erodes a region by `pixels` pixels, with a square of side 2 pixels + 1; the picture's border is not an edge.

    inside  [B,H,W,1] bool. Returns the same shape. Raises ShapeError.
    """
    check_shape("inside", inside, "B", "H", "W", 1)
    if not pixels or not inside.numel():
        return inside
    outside = (~inside).movedim(-1, 1).float()
    return (F.max_pool2d(outside, 2 * pixels + 1, stride=1, padding=pixels) == 0).movedim(1, -1)


def _rows(depth: Tensor, target: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    check_shape("depth", depth, "B", "H", "W", 1)
    check_shape("target", target, *depth.shape)
    check_shape("inside", inside, *depth.shape)
    return tuple(image.flatten(1) for image in (depth, target, inside))


def _row_mean(values: Tensor, inside: Tensor) -> Tensor:
    """[B,1] of values [B,P]."""
    return torch.where(inside, values, 0.0).sum(1, keepdim=True) / inside.sum(1, keepdim=True).clamp_min(1)


def _is_flat(values: Tensor, centred: Tensor, inside: Tensor) -> Tensor:
    return _row_mean(centred.square(), inside) <= FLAT**2 * _row_mean(values.square(), inside)


def _mean(values: Tensor, inside: Tensor) -> Tensor:
    """The mean over where `inside`, 0 for no element."""
    return torch.where(inside, values, 0.0).sum() / inside.sum().clamp_min(1)
