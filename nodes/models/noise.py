"""Noise levels by timestep: the variance-preserving noise of models with whole timesteps, and that of rectified
flows."""
from __future__ import annotations

import math
from typing import Any, Mapping, Protocol

import torch
from torch import Tensor

from ...kernels.distill.prediction import PREDICTIONS, clean_image
from ..core.errors import DistillError

VARIANCE_PRESERVING = PREDICTIONS[:2]  # "epsilon" and "v_prediction"
LEAST = 2.0**-24  # of the signal's share abar


class Noise(Protocol):
    """z_t = a_t z + b_t noise for timesteps t [B] (int64) below `timesteps`."""

    timesteps: int

    def sigma(self, t: Tensor) -> Tensor:
        """b_t / a_t, the noise level relative to the signal [B]."""

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t [B,C,h,w]."""

    def clean(self, z_t: Tensor, t: Tensor, predicted: Tensor, prediction: str) -> Tensor:
        """z0 [B,C,h,w] from what a network predicts, see kernels.distill.prediction."""

    def time(self, t: Tensor) -> Tensor:
        """What the network gets as its timestep [B]."""

    def to(self, device: torch.device) -> "Noise": ...


class DiscreteNoise:
    """z_t = sqrt(abar_t) z + sqrt(1 - abar_t) noise, for abar [T] that falls from nearly 1 (Ho et al. 2020)."""

    def __init__(self, abar: Tensor):
        self.abar = abar
        self.timesteps = len(abar)

    def sigma(self, t: Tensor) -> Tensor:
        abar = self.abar[t]
        return ((1 - abar) / abar).sqrt()

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        abar = self.abar[t].view(-1, 1, 1, 1)
        return abar.sqrt() * z + (1 - abar).sqrt() * noise

    def clean(self, z_t: Tensor, t: Tensor, predicted: Tensor, prediction: str) -> Tensor:
        abar = self.abar[t].view(-1, 1, 1, 1)
        return clean_image(z_t, abar.sqrt(), (1 - abar).sqrt(), predicted, prediction)

    def time(self, t: Tensor) -> Tensor:
        return t

    def to(self, device: torch.device) -> "DiscreteNoise":
        return DiscreteNoise(self.abar.to(device))


class FlowNoise:
    """z_t = (1 - s_t) z + s_t noise, for s [T] in (0,1) that rises with t: the straight paths of rectified flow."""

    def __init__(self, s: Tensor):
        self.s = s
        self.timesteps = len(s)

    def sigma(self, t: Tensor) -> Tensor:
        s = self.s[t]
        return s / (1 - s)

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        s = self.s[t].view(-1, 1, 1, 1)
        return (1 - s) * z + s * noise

    def clean(self, z_t: Tensor, t: Tensor, predicted: Tensor, prediction: str) -> Tensor:
        s = self.s[t].view(-1, 1, 1, 1)
        return clean_image(z_t, 1 - s, s, predicted, prediction)

    def time(self, t: Tensor) -> Tensor:
        """1000 s, as diffusers' transformers take it."""
        return 1000 * self.s[t]

    def to(self, device: torch.device) -> "FlowNoise":
        return FlowNoise(self.s.to(device))


def scaled_linear_noise(timesteps: int = 1000, first: float = 0.00085, last: float = 0.012) -> DiscreteNoise:
    """The noise of Stable Diffusion and its descendants: sqrt(beta) is linear in t (diffusers' "scaled_linear")."""
    betas = torch.linspace(first**0.5, last**0.5, timesteps, dtype=torch.float64).square()
    return DiscreteNoise((1 - betas).cumprod(0).float())


def shifted_flow(shift: float, timesteps: int = 1000) -> FlowNoise:
    """s = shift u / (1 + (shift - 1) u) at u = (t + 1/2) / T (Esser et al. 2024, SD3, eq. 23): a larger shift spends
    more timesteps on high noise. Published: 3 for SD3, exp(0.5) to exp(1.15) for Flux, by the number of tokens.

    The middles of the intervals are taken: s never reaches 1, where there is no signal to divide by.
    """
    u = (torch.arange(timesteps, dtype=torch.float64) + 0.5) / timesteps
    return FlowNoise((shift * u / (1 + (shift - 1) * u)).float())


def check_prediction(prediction: str, name: str) -> str:
    """Raises DistillError, beginning with `name`, for a kind of prediction that variance-preserving noise has no
    formula for."""
    if prediction not in VARIANCE_PRESERVING:
        raise DistillError(f'{name}: the model predicts "{prediction}". Only {" and ".join(VARIANCE_PRESERVING)} are '
                           'known.')
    return prediction


def zero_terminal(noise: DiscreteNoise) -> DiscreteNoise:
    """The noise rescaled so that nothing of the signal is left at the last timestep (Lin et al. 2024, algorithm 1), but
    for LEAST, which keeps its level finite."""
    root = noise.abar.double().sqrt()
    abar = ((root - root[-1]) * root[0] / (root[0] - root[-1])).square()
    return DiscreteNoise(abar.clamp_min(LEAST).float())


def scheduled_flow(config: Mapping[str, Any], tokens: int) -> FlowNoise:
    """The noise that the configuration of diffusers' FlowMatchEulerDiscreteScheduler describes.

    tokens  of the picture, in the transformer: with dynamic shifting, larger pictures get a larger shift (Esser et al.
            2024, sec. 5.3.2)
    """
    shift = config.get("shift", 1.0)
    if config.get("use_dynamic_shifting"):
        few, many = config.get("base_image_seq_len", 256), config.get("max_image_seq_len", 4096)
        low, high = config.get("base_shift", 0.5), config.get("max_shift", 1.15)
        shift = low + (high - low) * (tokens - few) / (many - few)
        if config.get("time_shift_type", "exponential") == "exponential":
            shift = math.exp(shift)
    return shifted_flow(shift, config.get("num_train_timesteps", 1000))
