"""Optimiser steps without a synchronisation with the device."""
from __future__ import annotations

from typing import Iterable

import torch
from torch import Tensor

FUSED = ("cpu", "cuda")  # devices on which torch has Adam and AdamW as one kernel


def is_fusible(parameters: Iterable[Tensor]) -> bool:
    """Whether Adam and AdamW take fused=True for these parameters."""
    return all(parameter.device.type in FUSED and parameter.is_floating_point() for parameter in parameters)


def take_step(optimizer: torch.optim.Optimizer, is_bad: Tensor) -> None:
    """Calls optimizer.step() unless is_bad [] bool is true. A fused optimiser reads the flag on the device; for others
    the CPU waits for it."""
    if optimizer.defaults.get("fused"):
        optimizer.found_inf = is_bad.float()
        optimizer.step()
    elif not is_bad:
        optimizer.step()
