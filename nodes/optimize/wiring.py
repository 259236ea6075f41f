"""Where the wiring of a run differs from what its priors were trained on."""
from __future__ import annotations

from typing import Mapping, Sequence

from ..core.loss import PreparedLoss, WiredLoss
from ..core.objective import Objective
from ..core.rng import Streams

VIEWS = 32  # sampled cameras: enough for the ends of their ranges


def differences(objectives: Sequence[Objective], losses: Mapping[str, PreparedLoss], seed: int,
                total: int) -> list[str]:
    """Sentences for the user, each once. losses: as Training names them.

    The cameras are those of the last step, where progressive ranges have their full width, from streams of their own.
    """
    found: dict[str, None] = {}
    for objective in objectives:
        wired = [loss for name, loss in losses.items()
                 if name.startswith(f"{objective.name}.") and isinstance(loss, WiredLoss)]
        if wired:
            side = objective.largest()[1]
            cameras = objective.views.sample(VIEWS, side, side, total - 1, total, Streams(seed, total - 1, "wiring/"))
            found |= {text: None for loss in wired for text in loss.differences(cameras, side, total)}
    return list(found)
