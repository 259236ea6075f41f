"""Named random streams.

Every random number of a run comes from a generator that is derived from (seed, step, stream name). Adding a loss or a
preview does not change the numbers of other parts, and a resumed run continues with the numbers of an uninterrupted
one.
"""
from __future__ import annotations

import hashlib

import torch


def stream(seed: int, step: int, name: str) -> torch.Generator:
    """The CPU generator of one stream at one step.

    seed, step  integers of any size
    name        what is drawn, e.g. "cameras", "light", "timestep", "noise"

    The three are hashed (SHA-256), so neighbouring seeds and steps are unrelated. Draw on the CPU and move the result:
    the numbers are then the same on every device.
    """
    digest = hashlib.sha256(f"{int(seed)}/{int(step)}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") % (2**63))


class Streams:
    """The streams of one step: `streams("noise")` is `stream(seed, step, "noise")`. A second call within the step
    returns the same generator, which continues."""

    def __init__(self, seed: int, step: int, prefix: str = ""):
        self.seed, self.step, self.prefix = seed, step, prefix
        self._open: dict[str, torch.Generator] = {}
        self._keys: dict[str, int] = {}

    def __call__(self, name: str) -> torch.Generator:
        name = self.prefix + name
        if name not in self._open:
            self._open[name] = stream(self.seed, self.step, name)
        return self._open[name]

    def key(self, name: str) -> int:
        """A 64-bit key for kernels.counter_random. Each call with the same name within the step returns a new one."""
        name = self.prefix + name
        number = self._keys[name] = self._keys.get(name, -1) + 1
        digest = hashlib.sha256(f"{int(self.seed)}/{int(self.step)}/{name}#{number}".encode()).digest()
        return int.from_bytes(digest[:8], "little")

    def within(self, prefix: str) -> "Streams":
        """The streams of the same step with `prefix` added to their names, e.g. those of one objective."""
        return Streams(self.seed, self.step, f"{self.prefix}{prefix}/")
