"""Checks of the ranges of random lights."""
from __future__ import annotations

from ..core.errors import DistillError


def check_distances(title: str, low: float, high: float) -> None:
    """Raises DistillError, beginning with the node's `title`, unless 0 < low <= high."""
    if not 0 < low <= high:
        raise DistillError(f'{title}: "min_distance" ({low}) must be above 0 and not above "max_distance" ({high}).')
