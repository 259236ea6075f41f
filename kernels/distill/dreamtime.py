"""Timesteps that fall during a run by the importance of each (Huang et al. 2023, DreamTime)."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor

HIGH, LOW = (800.0, 300.0), (500.0, 100.0)  # centre and width on both sides of the plateau, of 1000 timesteps


def importance(sigmas: Tensor) -> Tensor:
    """W(t) for noise levels sigma of all timesteps [T] -> [T], sum 1: sqrt((1 - abar) / abar) times a plateau with
    Gaussian flanks, which spends most steps on the middle, where an object's content is decided."""
    t = torch.arange(len(sigmas), dtype=torch.float64) * 1000 / len(sigmas)
    flank = lambda side: torch.exp(-(t - side[0]).square() / (2 * side[1] ** 2))  # noqa: E731
    plateau = torch.where(t > HIGH[0], flank(HIGH), torch.where(t < LOW[0], flank(LOW), 1.0))
    weights = sigmas.detach().cpu().double() * plateau
    return weights / weights.sum()


def falling_timestep(weights: Tensor | Sequence[float], progress: float, low: int, high: int) -> int:
    """The timestep at `progress` of the run (0 first step, 1 last), in low..high, both included: the one above which
    the share `progress` of the weights [T] lies. It never rises.

    Raises ValueError where the weights in the range sum to 0.
    """
    chosen = torch.as_tensor(weights, dtype=torch.float64)[low:high + 1]
    if not float(chosen.sum()) > 0:
        raise ValueError(f"falling_timestep: the weights of timesteps {low} to {high} sum to 0")
    above = chosen.flip(0).cumsum(0).flip(0) / chosen.sum()  # the share from each timestep up
    return low + int((above - progress).abs().argmin())
