"""Trying the largest scheduled size before the first step, so that memory runs out in the first minute or never."""
from __future__ import annotations

from typing import Sequence

import torch

from ..core.errors import DistillError
from ..core.objective import Objective
from ..core.rng import Streams
from .step import Training

# What torch says where the processor's memory does not suffice, on Linux and macOS, and on Windows.
_NO_MEMORY = ("can't allocate memory", "DefaultCPUAllocator: not enough memory")


def try_largest(training: Training, step: int) -> None:
    """Renders and differentiates once at each objective's largest size, if it is larger than that of the first step.
    The training is unchanged afterwards.

    step  at which the run begins or continues
    """
    for objective in training.objectives:
        (batch, size), (first_batch, first_size) = objective.largest(), objective.size(0, training.total)
        if size > first_size or batch > first_batch:
            losses = {name: loss.state_dict() for name, loss in training.losses.items()}
            buffers = [(buffer, buffer.clone()) for buffer in training.scene.buffers()]
            training.backward(objective, max(objective.start, step), Streams(training.seed, 0, "largest/"), batch, size)
            for name, loss in training.losses.items():
                loss.load_state_dict(losses[name])
            for buffer, value in buffers:
                buffer.copy_(value)
            training.optimizer.zero_grad(set_to_none=True)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, on a device or on the processor, where torch raises a plain RuntimeError."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in str(error) for words in _NO_MEMORY)


def out_of_memory(objectives: Sequence[Objective], device, step: int) -> DistillError:
    batches, sizes = zip(*(objective.largest() for objective in objectives))
    return DistillError(f"Optimize: out of memory on {device} at step {step} (largest resolution {max(sizes)}, batch "
                        f"{max(batches)}). Lower, in this order: the Objective's resolution, its batch, the renderer's "
                        "samples per ray.")
