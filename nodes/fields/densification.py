"""Densification of Gaussians: cloning, splitting and pruning (Kerbl et al. 2023)."""
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Mapping

import torch
from torch import Tensor

from ...kernels.quaternion import rotation_matrices
from ..comfy import io
from ..core.errors import DistillError

SHRINK = 1.6  # factor by which both halves of a split Gaussian are smaller
RESET = 0.01  # opacity


@dataclass(frozen=True)
class Densification:
    """When and how Gaussians are cloned, split and pruned.

    every         densify at every n-th step; 0: never
    start, end    first and last step of densification; end 0: the last step of the run
    gradient      threshold of the mean view-space position gradient, of the loss of one view, in an image that is 2
                  units wide and high. Gaussians above it are cloned or split. It scales with the loss: published 0.0002
                  for images, 0.01 for score distillation
    split_scale   Gaussians with a larger standard deviation are split, smaller ones are cloned; world units
    min_opacity   Gaussians with a lower opacity are pruned
    max_scale     Gaussians with a larger standard deviation are pruned; world units
    reset_every   number of steps after which all opacities are lowered to 0.01, so that unneeded Gaussians get pruned;
                  0: never
    most          largest number of Gaussians
    """

    every: int = 50
    start: int = 0
    end: int = 0
    gradient: float = 0.01
    split_scale: float = 0.04
    min_opacity: float = 0.01
    max_scale: float = 0.4
    reset_every: int = 700
    most: int = 100_000

    def __post_init__(self):
        if min(self.every, self.start, self.end, self.reset_every, self.gradient) < 0 or self.most < 1:
            raise DistillError("Gaussians: densify_every, densify_start, densify_end, reset_every and gradient must be "
                               "0 or more, and max_count 1 or more.")
        if not (self.split_scale > 0 and self.max_scale > 0 and 0 <= self.min_opacity < 1):
            raise DistillError(f"Gaussians: split_scale and max_scale must be positive and min_opacity in 0..1, got "
                               f"{self.split_scale}, {self.max_scale} and {self.min_opacity}.")

    def is_due(self, step: int) -> bool:
        """Whether to densify before this step; never before the first, which has no gradients yet."""
        return (bool(self.every) and step > 0 and step % self.every == 0 and step >= self.start
                and (not self.end or step <= self.end))

    def resets(self, step: int) -> bool:
        return bool(self.reset_every) and step > 0 and step % self.reset_every == 0


@torch.no_grad()
def densified(cloud: Mapping[str, Tensor], gradient: Tensor, settings: Densification,
              generator: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """The cloud after one densification, and rows [M] as in Replacement.

    cloud     tensors with one row for each of N Gaussians, among them position [N,3], scale [N,3] (logarithm), rotation
              [N,4] (wxyz) and opacity [N,1] (logit)
    gradient  [N], see Densification

    A split Gaussian is replaced by two at random positions drawn from it.
    """
    largest = cloud["scale"].amax(1).exp()
    grows = _within(gradient >= settings.gradient, gradient, settings.most - len(gradient))
    splits = grows & (largest > settings.split_scale)
    stay, doubled, split = ((~splits).nonzero(), (grows & ~splits).nonzero(), splits.nonzero())
    origin = torch.cat([stay, doubled, split, split]).squeeze(1)
    rows = origin.clone()
    rows[len(stay):] = -1
    after = {name: values[origin] for name, values in cloud.items()}
    children = slice(len(origin) - 2 * len(split), None)
    spread = torch.randn(2 * len(split), 3, generator=generator).to(largest) * after["scale"][children].exp()
    after["position"][children] += (rotation_matrices(after["rotation"][children]) @ spread[..., None]).squeeze(-1)
    after["scale"][children] -= math.log(SHRINK)
    kept = ((after["opacity"][:, 0].sigmoid() >= settings.min_opacity)
            & (after["scale"].amax(1).exp() <= settings.max_scale))
    if not bool(kept.any()):  # an empty cloud could never grow again
        return after, rows
    return {name: values[kept] for name, values in after.items()}, rows[kept]


def _within(grows: Tensor, gradient: Tensor, room: int) -> Tensor:
    """At most `room` of the Gaussians that grow: those with the largest gradients."""
    if int(grows.sum()) <= room:
        return grows
    chosen = gradient.where(grows, -1.0).topk(max(room, 0)).indices
    return torch.zeros_like(grows).index_fill(0, chosen, True)


def densification_inputs() -> list:
    """The widgets of Densification."""
    return [
        io.Int.Input("densify_every", default=50, min=0, max=100_000,
                     tooltip="Number of steps between densifications: Gaussians with large gradients are cloned or "
                             "split, faint or huge ones are pruned. 0: never."),
        io.Int.Input("densify_start", default=0, min=0, max=10_000_000,
                     tooltip="First step of densification. DreamGaussian: 0 for text, 100 for an image."),
        io.Int.Input("densify_end", default=0, min=0, max=10_000_000,
                     tooltip="Last step of densification; 0: the last step of the run."),
        io.Float.Input("gradient", default=0.01, min=0.0, max=1e6, step=0.0001, round=False,
                       tooltip="Threshold of the mean view-space position gradient above which a Gaussian is cloned or "
                               "split. It scales with the loss: published 0.01 for score distillation, 0.0002 for "
                               "images."),
        io.Float.Input("split_scale", default=0.04, min=1e-6, max=1e6, step=0.001, round=False,
                       tooltip="Standard deviation above which a Gaussian is split instead of cloned, world units."),
        io.Float.Input("min_opacity", default=0.01, min=0.0, max=0.99, step=0.005, round=False,
                       tooltip="Gaussians with a lower opacity are pruned."),
        io.Float.Input("max_scale", default=0.4, min=1e-6, max=1e6, step=0.01, round=False,
                       tooltip="Gaussians with a larger standard deviation are pruned, world units."),
        io.Int.Input("reset_every", default=700, min=0, max=10_000_000,
                     tooltip="Number of steps after which all opacities are lowered to 0.01, so that unneeded "
                             "Gaussians get pruned; 0: never."),
        io.Int.Input("max_count", default=100_000, min=1, max=10_000_000, tooltip="Largest number of Gaussians."),
    ]
