"""How long work reports its share done and learns that it was cancelled."""
from __future__ import annotations

from typing import Callable

from ..comfy import host

# Called between pieces of work with the share done, 0..1; may raise to stop the work.
Tick = Callable[[float], None]


def no_tick(share: float) -> None: ...


def host_tick(node_id: str | None, title: str) -> Tick:
    """A Tick that moves the host's progress bar and raises when the user cancelled."""
    progress = host().progress(node_id, title, 100)

    def tick(share: float) -> None:
        host().check()
        progress.update(round(100 * share), f"{title}: {share:.0%}")
        if share >= 1:
            progress.close()

    return tick
