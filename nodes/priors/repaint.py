"""Renderings as a prior would have painted them, kept to train on."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import torch
from torch import Tensor

from ...kernels.distill.guidance import guide
from ...kernels.distill.sampling import implied_noise
from ..core.cameras import Cameras
from ..core.prior import Condition, Prior

PIXELS = 3  # channels of a prior that denoises pixels, whose answers are limited to [-1,1]


@torch.no_grad()
def repaint(prior: Prior, z: Tensor, t: int, noise: Tensor, conditions: Sequence[Condition], cameras: Cameras, guidance: float,
            steps: int) -> Tensor:
    """z with `noise` added up to timestep t, and denoised again by DDIM: an augmented rendering of DreamCraft3D (Sun et al. 2023).

    z           [B,C,h,w] as encode_image has it; channels behind those that the prior denoises are a condition and stay
    noise       [B,c,h,w] for the c channels that it denoises
    conditions  negative and positive, for guidance in the standard form
    steps       of denoising, evenly from t to 0

    Returns [B,C,h,w], without gradients.
    """
    clean, condition = z[:, :prior.channels], z[:, prior.channels:]
    for level in torch.linspace(t, 0, steps + 1)[:-1].round().long().tolist():
        times = torch.full((len(z),), level, device=z.device)
        z_t = prior.add_noise(torch.cat([clean, condition], 1), noise, times)
        z0 = guide(*prior.denoise(z_t, times, conditions, cameras), guidance)
        z0 = z0.clamp(-1, 1) if prior.channels == PIXELS else z0
        noise, clean = implied_noise(clean, noise, z0, prior.sigma(times)), z0
    return torch.cat([clean, condition], 1)


@dataclass
class Repainted:
    """One batch: z as encode_image has it, the cameras that it was seen from, and the step at which it was painted."""

    z: Tensor
    cameras: Cameras
    step: int

    def state_dict(self) -> dict[str, Tensor]:
        return {"z": self.z, "step": torch.tensor(self.step), **self.cameras.state_dict()}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], device: torch.device) -> "Repainted":
        return cls(state["z"].to(device), Cameras.of_state(state).to(device), int(state["step"]))
