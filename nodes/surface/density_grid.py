"""A volume's density or signed distance on a regular grid, and the threshold whose surface looks like the volume.

A signed distance is negated, so that values are larger inside for both; its threshold is 0. Messages begin with the
title of the calling node.
"""
from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import DistillError
from ..core.field import Field
from ..core.scene import SceneRecipe
from ..core.tick import Tick, no_tick
from .color import POINTS_AT_ONCE
from .silhouette import SceneViews, best_threshold, highest_along_rays, silhouette_iou


def inside_value(field: Field, x: Tensor) -> Tensor:
    """Density of a volume, or minus its signed distance where it has one: [N] at x [N,3]."""
    return -field.sdf(x) if field.has_distance else field.density(x)


@torch.no_grad()
def sample_inside(field: Field, bounds: Tensor, resolution: int, title: str, tick: Tick = no_tick) -> Tensor:
    """`inside_value` on a grid with cubic cells [X,Y,Z], the longest side `resolution` samples, ends on bounds [2,3].

    Raises DistillError when a value is not finite.
    """
    extent = bounds[1] - bounds[0]
    shape = [max(2, round(1 + (resolution - 1) * float(side / extent.amax()))) for side in extent]
    lines = [torch.linspace(float(low), float(high), size, device=bounds.device)
             for low, high, size in zip(bounds[0], bounds[1], shape)]
    values = torch.empty(shape[0] * shape[1] * shape[2], device=bounds.device)
    for start in range(0, len(values), POINTS_AT_ONCE):
        tick(start / len(values))
        index = torch.arange(start, min(start + POINTS_AT_ONCE, len(values)), device=bounds.device)
        x = torch.stack([lines[0][index // (shape[1] * shape[2])], lines[1][index // shape[2] % shape[1]],
                         lines[2][index % shape[2]]], -1)
        values[start:start + len(index)] = inside_value(field, x).float()
    check_finite(values, title)
    return values.view(shape)


def check_finite(values: Tensor, title: str) -> None:
    """Raises DistillError when one of the values of a field is not finite."""
    broken = int((~values.isfinite()).sum())
    if broken:
        raise DistillError(f"{title}: the density is not finite at {broken} of {values.numel()} points. The training "
                           "diverged: use an earlier state or a lower learning rate.")


LEAST_DENSITY = 1e-3


def choose_threshold(field: Field, values: Tensor, bounds: Tensor, views: SceneViews, recipe: SceneRecipe,
                     title: str) -> tuple[float, float]:
    """The threshold whose silhouettes agree best with the scene's own (0 for a signed distance), and their intersection
    over union.

    values  of `sample_inside` on bounds [2,3]

    Raises DistillError when the scene is empty.
    """
    if bool(views.opaque.any()):
        highest = highest_along_rays(values, bounds, views.cameras)
        if field.has_distance:
            return 0.0, silhouette_iou(highest > 0, views.opaque)
        threshold, overlap = best_threshold(highest, views.opaque)
        if threshold > 0:
            return threshold, overlap
    raise DistillError(f"{title}: the scene is empty: no pixel of {len(views.cameras)} views is more than half opaque "
                       f"({_range(field, values)}).{_advice(values, recipe)}")


def check_surface(field: Field, values: Tensor, threshold: float, recipe: SceneRecipe, title: str) -> None:
    """Raises DistillError, with their range, unless some of the `inside_value`s [...] lie below and some above."""
    if not float(values.amin()) < threshold < float(values.amax()):
        raise DistillError(f"{title}: the field has no surface at threshold {threshold:.4g} ({_range(field, values)})."
                           f"{_advice(values, recipe)}")


def _range(field: Field, values: Tensor) -> str:
    if field.has_distance:
        return f"its signed distance ranges from {-float(values.amax()):.3g} to {-float(values.amin()):.3g}"
    return f"density ranges from {float(values.amin()):.3g} to {float(values.amax()):.3g}"


def _advice(values: Tensor, recipe: SceneRecipe) -> str:
    low, high = max(float(values.amin()), 0.0), float(values.amax())
    # Below LEAST_DENSITY there is nothing to see at any threshold.
    is_seen = high > max(low, LEAST_DENSITY)
    advice = f' Set "threshold" between {low:.3g} and {high:.3g} or train longer' if is_seen else " Train longer"
    opacity = (recipe.notes or {}).get("opacity")
    return advice + (f": opacity was {float(opacity):.2g} at the last step." if opacity is not None else ".")
