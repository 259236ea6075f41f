"""Denoised renderings, as training pictures of a prior."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Sequence

import torch
from torch import Tensor

from ...kernels.distill.guidance import guide
from ...kernels.distill.sampling import implied_noise
from ..core.cameras import Cameras
from ..core.prior import Condition, Encoded, Prior

PIXEL_CHANNELS = 3  # of a prior that denoises pixels, whose predictions are limited to [-1,1]


@torch.no_grad()
def repaint(prior: Prior, z: Encoded, t: int, noise: Tensor, conditions: Sequence[Condition], cameras: Cameras,
            guidance: float, steps: int) -> Encoded:
    """z, noised with `noise` to timestep t and denoised by DDIM: an augmented rendering of DreamCraft3D (Sun et al.
    2023).

    noise       [B,C,h,w]
    conditions  negative and positive, for guidance in the standard form
    steps       of the denoising, evenly spaced from t to 0

    Returns pictures in the space of the prior, without gradients.
    """
    clean = z.clean
    for level in torch.linspace(t, 0, steps + 1)[:-1].round().long().tolist():
        times = torch.full((len(clean),), level, device=clean.device)
        z_t = prior.add_noise(clean, noise, times)
        z0 = guide(*prior.denoise(z_t, times, conditions, cameras, z.beside), guidance)
        z0 = z0.clamp(-1, 1) if prior.channels == PIXEL_CHANNELS else z0
        noise, clean = implied_noise(clean, noise, z0, prior.sigma(times)), z0
    return Encoded(clean, z.beside)


@dataclass
class Repainted:
    """One batch: the pictures, their cameras, and the training step at which they were made."""

    z: Encoded
    cameras: Cameras
    step: int

    def state_dict(self) -> dict[str, Tensor]:
        beside = {} if self.z.beside is None else {"beside": self.z.beside}
        return {"z": self.z.clean, **beside, "step": torch.tensor(self.step), **self.cameras.state_dict()}

    @classmethod
    def of_state(cls, state: Mapping[str, Tensor], device: torch.device) -> "Repainted":
        beside = state["beside"].to(device) if "beside" in state else None
        return cls(Encoded(state["z"].to(device), beside), Cameras.of_state(state).to(device), int(state["step"]))
