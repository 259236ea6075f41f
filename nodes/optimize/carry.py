"""An optimiser's averages, when parameters take others' places during training."""
from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor

from ..core.field import Replacement


def carry_averages(old: torch.optim.Optimizer, new: torch.optim.Optimizer, replaced: Sequence[Replacement]) -> None:
    """Gives `new`, which has not stepped yet, the averages of `old`.

    replaced  in the order in which it happened. Rows that go on from another take its averages with them, rows that begin
              anew have averages of 0; parameters that were not replaced keep theirs
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
    """What belongs to the whole parameter, such as the number of steps, stays."""
    if value is None or value.shape != replacement.old.shape:
        return value
    goes_on = replacement.rows >= 0
    rows = value.new_zeros(replacement.new.shape)
    rows[goes_on] = value[replacement.rows[goes_on]]
    return rows
