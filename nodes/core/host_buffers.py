"""Buffers that stay on the CPU: numbers of a module that Python code reads at each step."""
from __future__ import annotations

from typing import Callable, ClassVar

from torch import nn


class HostBuffers(nn.Module):
    """Mixin for modules whose saved state contains numbers that Python code reads at each step, such as the current
    value of a schedule.

    on_host  names of buffers that `.to(device)` leaves on the CPU, so that `float(self.active)` does not wait for the
             device
    """

    on_host: ClassVar[tuple[str, ...]] = ()

    def _apply(self, function: Callable, recurse: bool = True) -> nn.Module:
        kept = {name: self._buffers[name] for name in self.on_host}
        super()._apply(function, recurse)
        self._buffers.update(kept)
        return self
