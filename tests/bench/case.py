"""One thing to be timed, and how it is timed."""
from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Callable, Iterator, Sequence

import torch
from torch import Tensor

from distill3d.kernels import backend


@dataclass(frozen=True)
class Peer:
    """The same work done by another library, on tensors of its own."""

    name: str
    run: Callable[[], Tensor]
    leaves: Sequence[Tensor] = ()


@dataclass(frozen=True)
class Case:
    """run() is the forward pass. leaves: tensors whose gradients are wanted, none for ops without gradients. kernel:
    the name under which backends of the op register, if it has more than the reference. inputs: all tensors that the op
    must read, where a floor is wanted."""

    op: str
    size: str
    run: Callable[[], Tensor]
    leaves: Sequence[Tensor] = ()
    kernel: str | None = None
    inputs: Sequence[Tensor] = ()
    peers: Sequence[Peer] = ()


@dataclass(frozen=True)
class Row:
    """Medians in milliseconds; None where there is nothing to measure. peak: bytes above what was held before.
    forward_floor, backward_floor: what the pass would take if it only read its inputs once and wrote its result
    once."""

    op: str
    size: str
    backend: str
    forward: float
    backward: float | None
    peak: int | None
    forward_floor: float | None = None
    backward_floor: float | None = None

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def measure(case: Case, repeats: int, device: torch.device, bandwidth: float | None = None) -> list[Row]:
    """A row for each backend that can run the case here, the reference first, and for each peer. They alternate, so
    that other load of the machine affects all of them. bandwidth: bytes in a second, where floors are wanted."""
    runners: dict[str, Case | Peer] = {name: case for name in _backends(case,
                                                                        device)} | {peer.name: peer
                                                                                    for peer in case.peers}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in runners}
    for index in range(repeats + 1):
        for name, runner in runners.items():
            with _only(name if runner is case else backend.REFERENCE):
                found = _pass(runner, device)
            if index:  # the first pass pays for caches and allocations
                times[name].append(found)
    floors = (None, None) if bandwidth is None or not case.inputs else _floors(case, bandwidth)
    rows = []
    for name, taken in times.items():
        runner = runners[name]
        _forget(runner)  # freeing inside what was allocated outside would make the peak look smaller
        with _only(name if runner is case else backend.REFERENCE):
            peak = peak_memory(lambda: _pass(runner, device), device)
        rows.append(Row(case.op, case.size, name, median(one for one, _ in taken),
                        median(two for _, two in taken) if runner.leaves else None, peak, *floors))
    return rows


def _floors(case: Case, bandwidth: float) -> tuple[float, float | None]:
    """Milliseconds to read the inputs and write the result, and to read its gradient and write those of the leaves."""
    with torch.no_grad():
        result = _bytes([case.run()])
    forward = _bytes(case.inputs) + result
    return 1e3 * forward / bandwidth, 1e3 * (result + _bytes(case.leaves)) / bandwidth if case.leaves else None


def _bytes(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def memory_bandwidth(device: torch.device, size: int = 2**30) -> float:
    """Bytes in a second that copying `size` bytes reads and writes."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(6):
        start = now(device)
        target.copy_(source)
        times.append(now(device) - start)
    return 2e3 * size / median(times[1:])


def _pass(case: Case | Peer, device: torch.device) -> tuple[float, float]:
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


def _forget(case: Case | Peer) -> None:
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
            if name not in found and wanted in ("auto", name) and backend.pick(
                case.kernel, device, torch.float32) == name:
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
