"""Moving an optimiser's averages to parameters that replaced others during training."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor

from ..core.field import Replacement


def carry_averages(old: torch.optim.Optimizer, new: torch.optim.Optimizer, replaced: Sequence[Replacement]) -> None:
    """Copies the averages of `old` to `new`, which has not stepped yet.

    replaced  in the order in which it happened. A row that continues another takes over its averages, a row that begins
              anew has averages of 0, and a parameter that was not replaced keeps its averages
    """
    state = dict(old.state)
    for replacement in replaced:
        slots = state.pop(replacement.old, {})
        state[replacement.new] = {name: _rows(value, replacement) for name, value in slots.items()}
    for entry in new.param_groups:
        for parameter in entry["params"]:
            if state.get(parameter):
                new.state[parameter] = state[parameter]


def _rows(value: Tensor | None, replacement: Replacement) -> Tensor | None:
    """Averages by row. A slot of the whole parameter, such as the number of steps, stays as it is."""
    if value is None or value.shape != replacement.old.shape:
        return value
    continues = replacement.rows >= 0
    rows = value.new_zeros(replacement.new.shape)
    rows[continues] = value[replacement.rows[continues]]
    return rows
