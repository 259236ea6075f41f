"""The base of RichDreamer's multi-view models: their camera condition (Qiu et al. 2023)."""
from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..comfy import host
from ..core.cameras import Cameras
from ..models.multi_view import relative_camera_vectors, view_sizes
from .mvdream import MVDreamPrior

SMALLEST, LARGEST = 0.7, 1.0  # range of view sizes in training


class RichDreamerPrior(MVDreamPrior):
    """MVDreamPrior with another camera condition: see relative_camera_vectors."""

    published = replace(MVDreamPrior.published, view_size=(SMALLEST, LARGEST))

    def camera_vectors(self, cameras: Cameras) -> Tensor:
        return relative_camera_vectors(cameras)

    def check_cameras(self, cameras: Cameras) -> None:
        super().check_cameras(cameras)
        sizes = view_sizes(cameras)
        if sizes.min() < SMALLEST - 0.05 or sizes.max() > LARGEST + 0.05:
            host().warn(f"{self.name}: the views cover {sizes.min():.2g} to {sizes.max():.2g} world units around the "
                        "centre (distance times the tangent of half the field of view); the model was trained with "
                        f"{SMALLEST:g} to {LARGEST:g}. Set the sizes of Multi-View Orbit (in Sample Prior, a distance "
                        "of 2 to 2.7).")
