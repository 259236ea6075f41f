"""Optimiser steps without a synchronisation with the device, and saved optimisers that are safe to continue."""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import torch
from torch import Tensor

from .errors import DistillError

FUSED = ("cpu", "cuda")  # devices on which torch has Adam and AdamW as one kernel
# What an optimiser keeps for each parameter, by its class.
_ADAM = frozenset({"step", "exp_avg", "exp_avg_sq"})
SLOTS = {"Adam": _ADAM, "AdamW": _ADAM, "Adamax": frozenset({"step", "exp_avg", "exp_inf"}),
         "SGD": frozenset({"momentum_buffer"})}


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


def load_slots(optimizer: torch.optim.Optimizer, slots: Mapping[Any, Mapping[str, Any]], what: str) -> None:
    """Puts saved tensors into a new optimiser. A fused kernel trusts their sizes, so they are checked first.

    slots  what the optimiser keeps, by the index of the parameter (a number, or its text) and by name
    what   what errors begin with

    Raises DistillError if the tensors are not those of this optimiser's parameters.
    """
    parameters = [parameter for entry in optimizer.param_groups for parameter in entry["params"]]
    for index, own in slots.items():
        _check_own(index, own, parameters, SLOTS[type(optimizer).__name__], what)
    whole = {int(index): dict(own) for index, own in slots.items()}
    optimizer.load_state_dict({"state": whole, "param_groups": optimizer.state_dict()["param_groups"]})


def _check_own(index: Any, own: Mapping[str, Any], parameters: Sequence[Tensor], names: frozenset[str],
               what: str) -> None:
    if not str(index).isdecimal() or int(index) >= len(parameters):
        raise DistillError(f"{what}: the saved optimiser has other parameters. Start without resuming.")
    shape = parameters[int(index)].shape
    for key, value in own.items():
        is_fitting = isinstance(value, Tensor) and value.is_floating_point() and (
            value.numel() == 1 if key == "step" else value.shape == shape)
        if key not in names or not is_fitting:
            found = f"shape {list(value.shape)} and type {value.dtype}" if isinstance(value, Tensor) else "another kind"
            raise DistillError(f'{what}: the saved optimiser has "{str(key)[:60]}" of {found} for a parameter of shape '
                               f"{list(shape)}. Start without resuming.")
    if missing := names - own.keys():
        raise DistillError(f'{what}: the saved optimiser has no "{min(missing)}" for its parameter {index}. Start '
                           "without resuming.")
