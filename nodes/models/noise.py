"""The variance-preserving noise of models that were trained at whole timesteps (Ho et al. 2020)."""
from __future__ import annotations

import torch
from torch import Tensor

from ..core.errors import DistillError

PREDICTIONS = ("epsilon", "v_prediction")


class DiscreteNoise:
    """z_t = sqrt(abar_t) z + sqrt(1 - abar_t) noise, for abar [T] falling from nearly 1."""

    def __init__(self, abar: Tensor):
        self.abar = abar
        self.timesteps = len(abar)

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level relative to the signal, [B]."""
        abar = self.abar[t]
        return ((1 - abar) / abar).sqrt()

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t [B,C,h,w]."""
        abar = self.abar[t].view(-1, 1, 1, 1)
        return abar.sqrt() * z + (1 - abar).sqrt() * noise

    def clean(self, z_t: Tensor, t: Tensor, predicted: Tensor, prediction: str) -> Tensor:
        """z0 from what a network predicts: "epsilon" the noise, "v_prediction" v = sqrt(abar) noise - sqrt(1 - abar) z
        (Salimans and Ho 2022, sec. 4)."""
        abar = self.abar[t].view(-1, 1, 1, 1)
        if prediction == "v_prediction":
            return abar.sqrt() * z_t - (1 - abar).sqrt() * predicted
        return (z_t - (1 - abar).sqrt() * predicted) / abar.sqrt()


def scaled_linear_noise(timesteps: int = 1000, first: float = 0.00085, last: float = 0.012) -> DiscreteNoise:
    """The noise of Stable Diffusion and what descends from it: sqrt(beta) falls on a line (diffusers' "scaled_linear")."""
    betas = torch.linspace(first**0.5, last**0.5, timesteps, dtype=torch.float64).square()
    return DiscreteNoise((1 - betas).cumprod(0).float())


def check_prediction(prediction: str, name: str) -> str:
    """Raises DistillError, beginning with `name`, for a kind of prediction that there is no formula for."""
    if prediction not in PREDICTIONS:
        raise DistillError(f'{name}: the model predicts "{prediction}". Only {" and ".join(PREDICTIONS)} are known.')
    return prediction
