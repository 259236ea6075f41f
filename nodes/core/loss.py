"""Losses: what should be true of a rendering.

A LOSS wire carries a tuple of Loss recipes. Optimize prepares each recipe once per run (this loads priors and encodes
prompts) and then calls the prepared loss with a Look at every step at which its objective is active.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Mapping, Protocol

import torch
from torch import Tensor

from .cameras import Cameras
from .prior import LoadedPriors
from .rendering import Rendering
from .rng import Streams
from .scene import Scene
from .schedule import Schedule


@dataclass(frozen=True)
class RunContext:
    """What a loss may need when a run begins."""

    device: torch.device
    seed: int
    priors: LoadedPriors


@dataclass(frozen=True)
class Look:
    """What a loss is given: one objective's rendering at one step of training, and where it came from.

    rendering  of `cameras`, differentiable in the scene's parameters; holds the fields that the loss named in `wanted`
    cameras    B cameras, on the device of the run
    step       0 .. total - 1
    total      number of steps of the run
    streams    random streams of this loss at this step
    scene      the scene in training: losses on parameters, points or triangles read it here
    initial    initial() is the scene as the stage began, without gradients. It is built at the first call of a run and
               kept; a run in which no loss calls it spends no memory on it
    """

    rendering: Rendering
    cameras: Cameras
    step: int
    total: int
    streams: Streams
    scene: Scene
    initial: Callable[[], Scene]

    def at(self, schedule: Schedule) -> float:
        """The value of a schedule at this step."""
        return schedule.at(self.step, self.total)


@dataclass
class Term:
    """One loss's value at one step.

    value  scalar; its gradient is what counts (the value of a score loss is a surrogate without meaning of its own)
    log    numbers for the log, e.g. {"timestep": 412, "gradient": 3.1}
    """

    value: Tensor
    log: Mapping[str, float | Tensor] = field(default_factory=dict)


class PreparedLoss(Protocol):
    """A loss of one run. One with parameters and an optimiser of its own (VSD) keeps them in its state."""

    def __call__(self, look: Look) -> Term: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class Loss(Protocol):
    """A recipe.

    name    for logs and random streams, e.g. "sds"
    wanted  names of the fields of Rendering that it needs
    """

    name: str
    wanted: frozenset[str]

    def prepare(self, context: RunContext) -> PreparedLoss: ...


class Stateless:
    """Base of prepared losses without parameters."""

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        return None
