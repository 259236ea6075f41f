"""Reading the numbers of a step from the device without stopping it."""
from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Iterator, Mapping

import torch
from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """The numbers of one step; is_bad: whether its gradients were not finite."""

    step: int
    facts: dict[str, float]
    is_bad: bool


class Readings:
    """A queue of numbers that are copied from a device.

    A CUDA device still computes a step while the host prepares the next one. Reading a number at once would make the
    host wait for the device, and then the device for the host. So a copy starts when a step ends, and is read one step
    later.
    """

    def __init__(self):
        self._sent: deque[_Sent] = deque()

    def send(self, step: int, facts: Mapping[str, float | Tensor], is_bad: Tensor) -> None:
        """Starts the copy of a step's numbers. facts: numbers, or tensors of one element; is_bad: [] bool on the
        device."""
        self._sent.append(_Sent(step, facts, is_bad))

    def take(self, waiting: int = 0) -> Iterator[Reading]:
        """Yields the steps that were sent and not taken yet, oldest first, except the last `waiting` of them."""
        while len(self._sent) > waiting:
            yield self._sent.popleft().read()


class _Sent:
    def __init__(self, step: int, facts: Mapping[str, float | Tensor], is_bad: Tensor):
        tensors = {name: value.detach().reshape(()).float() for name, value in facts.items()
                   if isinstance(value, Tensor)}
        # Tensors on the CPU need no copy.
        on_device = [name for name, value in tensors.items() if value.device == is_bad.device]
        self.step, self.facts, self._on_device = step, {**facts, **tensors}, on_device
        numbers = torch.stack([is_bad.float(), *(tensors[name] for name in on_device)])
        self._arrived = None
        if numbers.device.type == "cuda":
            numbers = numbers.to("cpu", non_blocking=True)  # into pinned memory
            self._arrived = torch.cuda.Event()
            self._arrived.record()
        self._numbers = numbers

    def read(self) -> Reading:
        if self._arrived is not None:
            self._arrived.synchronize()
        is_bad, *numbers = self._numbers.tolist()
        facts = {**self.facts, **dict(zip(self._on_device, numbers))}
        return Reading(self.step, {name: float(value) for name, value in facts.items()}, bool(is_bad))
