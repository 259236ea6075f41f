"""What RichDreamer's multi-view models share: how they are told of cameras (Qiu et al. 2023)."""
from __future__ import annotations

import torch
from torch import Tensor

from ..comfy import host
from ..core.cameras import Cameras
from .multiview_unet import camera_vectors
from .mvdream import MVDreamPrior

SMALLEST, LARGEST = 0.7, 1.0  # sizes that the models were trained with


def view_sizes(cameras: Cameras) -> Tensor:
    """Half of what a picture shows of the plane through the origin [B], world units: distance * tan(fovy / 2)."""
    return cameras.distance * torch.tan(0.5 * cameras.fovy)


def relative_camera_vectors(cameras: Cameras) -> Tensor:
    """What the networks are told of each camera [B,16]: c2w row by row, turned and at a relative distance.

    The world is turned by -90 degrees around z, so that the front is the first view of MVDream's set and not the second; the
    position is twice the size of the view from the origin, whatever the lens ("rotate_z" and "rel_x2" in RichDreamer's
    configurations).
    """
    turn = cameras.c2w.new_tensor([[0.0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    c2w = turn @ camera_vectors(cameras).view(-1, 4, 4)
    c2w[:, :3, 3] *= 2 * view_sizes(cameras)[:, None]
    return c2w.flatten(1)


class RichDreamerPrior(MVDreamPrior):
    """MVDreamPrior, but for what the network is told of cameras: see relative_camera_vectors."""

    def camera_vectors(self, cameras: Cameras) -> Tensor:
        return relative_camera_vectors(cameras)

    def check_cameras(self, cameras: Cameras) -> None:
        super().check_cameras(cameras)
        sizes = view_sizes(cameras)
        if sizes.min() < SMALLEST - 0.05 or sizes.max() > LARGEST + 0.05:
            host().warn(f"{self.name}: the views show {sizes.min():.2g} to {sizes.max():.2g} world units around the middle "
                        f"(distance times the tangent of half the field of view); the model was trained with {SMALLEST:g} to "
                        f"{LARGEST:g}. Set the sizes of Multi-View Orbit (in Sample Prior, a distance of 2 to 2.7).")
