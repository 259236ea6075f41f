"""Losses: what should be true of a rendering.

A LOSS wire carries a tuple of Loss recipes. Optimize prepares each once (loads priors, encodes prompts) and then calls
the prepared loss every step that its objective is active.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Mapping, Protocol

import torch
from torch import Tensor

from .cameras import Cameras
from .prior import LoadedPriors
from .rendering import Rendering
from .rng import Streams


@dataclass(frozen=True)
class RunContext:
    """What a loss may need when a run begins."""

    device: torch.device
    seed: int
    total: int
    priors: LoadedPriors


@dataclass
class Term:
    """One loss's value at one step.

    value  scalar; its gradient is what counts (a score loss's value is a surrogate and means nothing by itself)
    log    numbers worth showing, e.g. {"timestep": 412, "gradient": 3.1}
    """

    value: Tensor
    log: Mapping[str, float | Tensor] = field(default_factory=dict)


class PreparedLoss(Protocol):
    """Ready to be called; may own parameters and an optimiser (VSD), which then stand in its state."""

    def __call__(self, rendering: Rendering, cameras: Cameras, step: int, streams: Streams) -> Term: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class Loss(Protocol):
    """A recipe.

    name    unique enough for a log, e.g. "sds"
    wanted  names of Rendering's fields that it needs
    """

    name: str
    wanted: frozenset[str]

    def prepare(self, context: RunContext) -> PreparedLoss: ...


class Stateless:
    """For prepared losses without parameters."""

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        return None
