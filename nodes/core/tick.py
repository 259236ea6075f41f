"""How long work reports its share done and learns that it was cancelled. `host_tick` of nodes/comfy makes real ones."""
from __future__ import annotations

from typing import Callable

# Called between pieces of work with the share done, 0..1; may raise to stop the work.
Tick = Callable[[float], None]


def no_tick(share: float) -> None: ...
