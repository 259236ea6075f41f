"""The interface of losses.

A LOSS wire carries a tuple of Loss recipes. Optimize prepares each recipe once per run, which loads priors and encodes
prompts. It then calls the prepared loss with a Look at every step at which its objective is active.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, Mapping, Protocol, runtime_checkable

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
    """Given to a loss at the start of a run."""

    device: torch.device
    seed: int
    priors: LoadedPriors


@dataclass(frozen=True)
class Look:
    """The input of a loss: the rendering of one objective at one training step, with its cameras and its scene.

    rendering  of `cameras`, differentiable in the scene's parameters; contains the fields that the loss lists in
               `wanted`
    cameras    B cameras, on the device of the run
    step       0 .. total - 1
    total      number of steps of the run
    streams    random streams of this loss at this step
    scene      the scene being trained, for losses on parameters, points or triangles
    initial    initial() returns the scene at the start of the stage, without gradients. The first call of a run builds
               it; a run without such a call spends no memory on it
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
    """The value of one loss at one step.

    value  scalar. Training uses its gradient; the value of a score distillation loss is a surrogate without meaning
    log    numbers for the log, e.g. {"timestep": 412, "gradient": 3.1}
    """

    value: Tensor
    log: Mapping[str, float | Tensor] = field(default_factory=dict)


class PreparedLoss(Protocol):
    """A loss during one run. A loss that trains parameters of its own (VSD) saves them and their optimiser in its
    state."""

    def __call__(self, look: Look) -> Term: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


@runtime_checkable
class WiredLoss(PreparedLoss, Protocol):
    """A loss that can say where the wiring of a run differs from what its prior was trained on."""

    def differences(self, cameras: Cameras, side: int, total: int) -> list[str]:
        """One sentence for each difference that matters, with what to set.

        cameras  some of the run's views; side: height and width of a rendering; total: steps of the run
        """


class Loss(Protocol):
    """A recipe.

    name    used in logs and for random streams, e.g. "sds"
    wanted  names of the fields of Rendering that the loss reads
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
