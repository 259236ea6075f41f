"""One thing to be timed, and how it is timed."""
from __future__ import annotations

import logging
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Callable, Iterator, Sequence

import torch
from torch import Tensor

from distill3d.kernels import backend

logging.getLogger(backend.__name__).setLevel(logging.ERROR)


@dataclass(frozen=True)
class Case:
    """run() is the forward pass. leaves: tensors whose gradients are wanted, none for ops without gradients. kernel: the
    name under which backends of the op register, if it has more than the reference."""

    op: str
    size: str
    run: Callable[[], Tensor]
    leaves: Sequence[Tensor] = ()
    kernel: str | None = None


@dataclass(frozen=True)
class Row:
    """Medians in milliseconds; None where there is nothing to measure. peak: bytes above what was held before."""

    op: str
    size: str
    backend: str
    forward: float
    backward: float | None
    peak: int | None

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def measure(case: Case, repeats: int, device: torch.device) -> list[Row]:
    """A row for each backend that can run the case here, the reference first. Backends take turns, so that what else the
    machine does falls on all of them."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in _backends(case, device)}
    for index in range(repeats + 1):
        for name in times:
            with _only(name):
                found = _pass(case, device)
            if index:  # the first pass pays for caches and allocations
                times[name].append(found)
    rows = []
    for name, taken in times.items():
        _forget(case)  # freeing inside what was allocated outside would make the peak look smaller
        with _only(name):
            peak = peak_memory(lambda: _pass(case, device), device)
        rows.append(Row(case.op, case.size, name, median(one for one, _ in taken),
                        median(two for _, two in taken) if case.leaves else None, peak))
    return rows


def _pass(case: Case, device: torch.device) -> tuple[float, float]:
    """Milliseconds of one forward and one backward pass."""
    _forget(case)
    with torch.set_grad_enabled(bool(case.leaves)):
        start = now(device)
        result = case.run()
        middle = now(device)
        if not case.leaves:
            return middle - start, 0.0
        seed = torch.ones_like(result)
        between = now(device)
        result.backward(seed)
    return middle - start, now(device) - between


def _forget(case: Case) -> None:
    for leaf in case.leaves:
        leaf.grad = None


def now(device: torch.device) -> float:
    """Milliseconds, after the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return 1e3 * time.perf_counter()


def peak_memory(work: Callable[[], Any], device: torch.device) -> int | None:
    """Most bytes that work() held at a time beyond those held before; None where they cannot be counted."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu":
        return None
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    try:
        events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
        held = peak = 0
        for event in sorted(events, key=lambda event: event.start_ns()):
            held += event.nbytes()
            peak = max(peak, held)
    except AttributeError:  # no part of the profiler's public interface
        return None
    return peak


def _backends(case: Case, device: torch.device) -> list[str]:
    wanted = os.environ.get(backend.VARIABLE, "").strip() or "auto"
    found = [backend.REFERENCE]
    for name in backend.BACKENDS if case.kernel else ():
        with _only(name):
            if name not in found and wanted in ("auto", name) and backend.pick(case.kernel, device, torch.float32) == name:
                found.append(name)
    return found


@contextmanager
def _only(name: str) -> Iterator[None]:
    before = os.environ.get(backend.VARIABLE)
    os.environ[backend.VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[backend.VARIABLE]
        else:
            os.environ[backend.VARIABLE] = before
