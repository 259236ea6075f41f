"""Objectives: the views to render, their lights, and the losses on the renderings."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn

from .cameras import Cameras
from .loss import Loss
from .rendering import Light
from .rng import Streams
from .schedule import Schedule


class Views(Protocol):
    """The value of a VIEWS wire: a sampler of cameras."""

    def sample(self, batch: int, height: int, width: int, step: int, total: int, streams: Streams) -> Cameras:
        """`batch` cameras on the CPU, drawn from `streams`."""


@runtime_checkable
class LearningViews(Views, Protocol):
    """A VIEWS recipe whose cameras are trained with the scene, such as the poses of photographs.

    The recipe's own `sample` returns the cameras before training.
    """

    def learner(self) -> nn.Module:
        """A new module, built once per run and moved to the run's device. It has

        sample(...)         like Views.sample, but on the module's device and differentiable in its parameters
        parameter_groups()  its parameters by group, like Scene.parameter_groups, for the rates of Optimizer Settings
        """


class Lights(Protocol):
    """The value of a LIGHT wire: a sampler of lights."""

    def sample(self, cameras: Cameras, step: int, total: int, streams: Streams) -> Light: ...


@dataclass(frozen=True)
class Objective:
    """One entry of an OBJECTIVE wire (which carries a tuple of them).

    batch, resolution  views per step, and their height and width in pixels; schedules whose values are rounded
    every, start, end  active at steps start <= step < end with (step - start) % every == 0; end 0: the end of the run
    name               used in logs and for random streams
    """

    views: Views
    losses: tuple[Loss, ...]
    light: Lights | None = None
    batch: Schedule = Schedule.of(4)
    resolution: Schedule = Schedule.of(64)
    every: int = 1
    start: int = 0
    end: int = 0
    name: str = "objective"

    def is_active(self, step: int) -> bool:
        return step >= self.start and (not self.end or step < self.end) and (step - self.start) % self.every == 0

    def is_ever_active(self, total: int) -> bool:
        """Whether the objective is active at any step of a run of `total` steps."""
        return self.start < min(total, self.end or total)

    def size(self, step: int, total: int) -> tuple[int, int]:
        """Number of views and pixels per side at a step."""
        return max(1, round(self.batch.at(step, total))), max(1, round(self.resolution.at(step, total)))

    def largest(self) -> tuple[int, int]:
        """The largest number of views and of pixels per side that the schedules reach."""
        return max(1, round(self.batch.largest())), max(1, round(self.resolution.largest()))

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset({"rgb", "opacity"}).union(*(loss.wanted for loss in self.losses))
