"""Buffers that stay on the host: numbers of a module that decide what a step does."""
from __future__ import annotations

from typing import Callable, ClassVar

from torch import nn


class HostBuffers(nn.Module):
    """Mixin for modules with numbers that Python reads at each step and that belong to the saved state.

    on_host  names of buffers that `.to(device)` leaves on the CPU. Reading such a buffer, `float(self.active)`, does
             not wait for the device. Scalars of schedules, for example: they are set on the host as well.
    """

    on_host: ClassVar[tuple[str, ...]] = ()

    def _apply(self, function: Callable, recurse: bool = True) -> nn.Module:
        kept = {name: self._buffers[name] for name in self.on_host}
        super()._apply(function, recurse)
        self._buffers.update(kept)
        return self
