"""Progress and cancellation of long computations. `host_tick` of nodes/comfy makes ticks that report to ComfyUI."""
from __future__ import annotations

from typing import Callable

# Called between parts of a computation with the completed fraction, 0..1. Raises to cancel the computation.
Tick = Callable[[float], None]


def no_tick(share: float) -> None: ...
