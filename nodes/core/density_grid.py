"""A volume's density on a regular grid, and the threshold at which its surface looks like the volume.

Messages begin with the title of the node that asks.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from .errors import DistillError
from .scene import SceneRecipe
from .silhouette import Views, best_threshold, highest_along_rays
from .surface_color import POINTS_AT_ONCE
from .tick import Tick, no_tick


@torch.no_grad()
def sample_density(field: nn.Module, bounds: Tensor, resolution: int, title: str, tick: Tick = no_tick) -> Tensor:
    """Density on a grid with cubic cells [X,Y,Z], the longest side `resolution` samples, ends on bounds [2,3].

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
        values[start:start + len(index)] = field.density(x).float()
    check_finite(values, title)
    return values.view(shape)


def check_finite(density: Tensor, title: str) -> None:
    """Raises DistillError when one of the densities is not finite."""
    broken = int((~density.isfinite()).sum())
    if broken:
        raise DistillError(f"{title}: the density is not finite at {broken} of {density.numel()} points. The training "
                           "diverged: use an earlier state or a lower learning rate.")


def choose_threshold(values: Tensor, bounds: Tensor, views: Views, recipe: SceneRecipe, title: str) -> tuple[float, float]:
    """The threshold whose silhouettes agree best with the scene's own, and their intersection over union.

    values  of `sample_density` on bounds [2,3]

    Raises DistillError when the scene shows nothing.
    """
    if bool(views.opaque.any()):
        threshold, overlap = best_threshold(highest_along_rays(values, bounds, views.cameras), views.opaque)
        if threshold > 0:
            return threshold, overlap
    raise DistillError(f"{title}: the scene is empty: no pixel of {len(views.cameras)} views is more than half opaque "
                       f"({_range(values)}).{_advice(values, recipe)}")


def check_surface(values: Tensor, threshold: float, recipe: SceneRecipe, title: str) -> None:
    """Raises DistillError, with the range of the density, unless some values [...] lie below and some above."""
    if not float(values.amin()) < threshold < float(values.amax()):
        raise DistillError(f"{title}: the field has no surface at threshold {threshold:.4g} ({_range(values)})."
                           f"{_advice(values, recipe)}")


def _range(values: Tensor) -> str:
    return f"density ranges from {float(values.amin()):.3g} to {float(values.amax()):.3g}"


def _advice(values: Tensor, recipe: SceneRecipe) -> str:
    low, high = float(values.amin()), float(values.amax())
    advice = f' Set "threshold" between {low:.3g} and {high:.3g} or train longer' if high > low else " Train longer"
    opacity = (recipe.notes or {}).get("opacity")
    return advice + (f": opacity was {float(opacity):.2g} at the last step." if opacity is not None else ".")
