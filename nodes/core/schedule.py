"""Schedules: numbers that depend on the step."""
from __future__ import annotations

import math
from dataclasses import dataclass

from .errors import DistillError


@dataclass(frozen=True)
class Schedule:
    """A number as a function of the step, interpolated between keyframes and constant before the first and after the
    last.

    keyframes  ((at, value), ...), `at` strictly increasing
    unit       "steps", or "fraction" of the run (0 first step, 1 last)
    shape      of the interpolation: "linear", "cosine" (half a cosine wave), or "step" (constant until the next
               keyframe)

    The published ramp [s0, v0, v1, s1] is Schedule(((s0, v0), (s1, v1))).
    """

    keyframes: tuple[tuple[float, float], ...]
    unit: str = "steps"
    shape: str = "linear"

    def __post_init__(self):
        if not self.keyframes:
            raise DistillError("Schedule: at least one keyframe (position, value) is needed.")
        for at, value in self.keyframes:
            if not (math.isfinite(at) and math.isfinite(value)):
                raise DistillError(f"Schedule: keyframe ({at}, {value}) is not finite. Give plain numbers.")
        places = [at for at, _ in self.keyframes]
        if any(b <= a for a, b in zip(places, places[1:])):
            raise DistillError(f"Schedule: positions must increase, got {places}.")
        if self.unit not in ("steps", "fraction"):
            raise DistillError(f'Schedule: unit must be "steps" or "fraction", got "{self.unit}".')
        if self.unit == "fraction" and not all(0 <= at <= 1 for at in places):
            raise DistillError(f"Schedule: positions in fractions of the run must lie in 0..1, got {places}.")
        if self.shape not in ("linear", "cosine", "step"):
            raise DistillError(f'Schedule: shape must be "linear", "cosine" or "step", got "{self.shape}".')

    @classmethod
    def of(cls, value: "Schedule | float | int") -> "Schedule":
        """A constant schedule of a number; a schedule is returned unchanged. Raises DistillError for anything else."""
        if isinstance(value, Schedule):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return cls(((0.0, float(value)),))
        raise DistillError(f"A number or a Schedule is needed here, got {type(value).__name__}.")

    def at(self, step: int, total: int) -> float:
        """The value at `step` of a run of `total` steps."""
        place = float(step) if self.unit == "steps" else step / max(total - 1, 1)
        first, last = self.keyframes[0], self.keyframes[-1]
        if place <= first[0]:
            return first[1]
        if place >= last[0]:
            return last[1]
        for (a, va), (b, vb) in zip(self.keyframes, self.keyframes[1:]):
            if place < b:
                share = (place - a) / (b - a)
                if self.shape == "step":
                    share = 0.0
                elif self.shape == "cosine":
                    share = 0.5 - 0.5 * math.cos(math.pi * share)
                return va + (vb - va) * share
        return last[1]

    def largest(self) -> float:
        return max(value for _, value in self.keyframes)


def parse_keyframes(text: str) -> tuple[tuple[float, float], ...]:
    """"0: 20, 0.4: 5" -> ((0.0, 20.0), (0.4, 5.0)). Raises DistillError with the piece that cannot be parsed."""
    keyframes = []
    for piece in text.replace("\n", ",").split(","):
        if not piece.strip():
            continue
        try:
            at, value = piece.split(":")
            keyframes.append((float(at), float(value)))
        except ValueError:
            raise DistillError(f'Schedule: cannot read keyframe "{piece.strip()}". Write "position: value, '
                               '..."') from None
    return tuple(keyframes)
