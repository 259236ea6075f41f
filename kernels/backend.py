"""Which implementation of an op runs: the torch reference or a faster one.

Every op has the reference, "torch", on every device. A faster implementation registers itself with a function that
returns the reason if it cannot run here; `pick` returns the first that can and keeps the reasons of the others, so that
a report can say what a missing package would speed up.
"""
from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Callable, Iterator

import torch

VARIABLE = "DISTILL3D_BACKEND"
REFERENCE = "torch"
BACKENDS = (REFERENCE, "warp", "gsplat", "nvdiffrast")
CHOICES = ("auto", *BACKENDS)
FAILED = "its self-test failed"

_log = logging.getLogger(__name__)
_registry: dict[str, dict[str, tuple[Callable, Callable, Callable | None]]] = {}
_reasons: dict[tuple[str, str], str] = {}
_verdicts: dict[tuple[str, str, str], str | None] = {}
_ran: dict[str, str] = {}
_lock = threading.RLock()
_preferred: ContextVar[str] = ContextVar("distill3d_backend", default="auto")


class BackendError(ValueError):
    """The requested backend does not exist."""

    __module__ = "distill3d"


def register(op: str, backend: str, implementation: Callable,
             unusable: Callable[[torch.device, torch.dtype], str | None] = lambda device, dtype: None,
             self_test: Callable[[torch.device], None] | None = None) -> None:
    """Adds an implementation of `op`; the order of registration is the order of preference.

    unusable   (device, dtype) -> None where the implementation can run, otherwise the reason it cannot. Called each
               time, so it must be quick. An exception counts as a reason. The reference needs none.
    self_test  (device) raises where the implementation fails or is wrong. Run once for each kind of device, before
               first use: this is what loads and compiles. Its failure is kept for the life of the process

    Raises BackendError for a backend that is not one of BACKENDS.
    """
    if backend not in BACKENDS:
        raise BackendError(f'{op}: backend "{backend}" is not one of {", ".join(BACKENDS)}')
    _registry.setdefault(op, {})[backend] = (implementation, unusable, self_test)


@contextmanager
def prefer(name: str) -> Iterator[None]:
    """Ops inside the block take backend `name`; "auto" leaves the choice as it is. DISTILL3D_BACKEND overrides it.

    Holds for this thread. Raises BackendError for a name that is not one of CHOICES.
    """
    _check(name, "The backend")
    token = _preferred.set(_preferred.get() if name == "auto" else name)
    try:
        yield
    finally:
        _preferred.reset(token)


def pick(op: str, device: torch.device, dtype: torch.dtype) -> str:
    """Name of the backend that runs `op` on `device` at `dtype`.

    The environment variable DISTILL3D_BACKEND, else `prefer`, is "auto" (the default: the first registered backend that
    can run, the reference last) or the name of one backend; where that one cannot run, the reference does, the reason
    is logged once and kept for `reasons`. Safe to call from several threads, and after a fork.

    Raises BackendError when the variable names no backend.
    """
    wanted = os.environ.get(VARIABLE, "").strip() or _preferred.get()
    _check(wanted, VARIABLE)
    _ran[op] = name = _pick(op, wanted, torch.device(device), dtype)
    return name


def _pick(op: str, wanted: str, device: torch.device, dtype: torch.dtype) -> str:
    if wanted == REFERENCE:
        return REFERENCE
    fast = [name for name in _registry.get(op, {}) if name != REFERENCE]
    for name in fast if wanted == "auto" else [wanted]:
        reason = _why_not(op, name, device, dtype)
        if reason is None:
            _reasons.pop((op, name), None)
            return name
        expected = wanted == "auto" and not reason.startswith(FAILED)  # a package that is not installed, mostly
        _keep(op, name, reason, logging.INFO if expected else logging.WARNING)
    return REFERENCE


def implementation(op: str, device: torch.device, dtype: torch.dtype) -> Callable:
    """The registered function that `pick` chooses. Raises BackendError when `op` has no reference."""
    name = pick(op, device, dtype)
    if name not in _registry.get(op, {}):
        raise BackendError(f'op "{op}" has no "{name}" implementation registered')
    return _registry[op][name][0]


def reasons() -> dict[tuple[str, str], str]:
    """(op, backend) -> why that backend was not used at its last request."""
    return dict(_reasons)


def ran() -> dict[str, str]:
    """op -> the backend that ran it last, of the ops that were run in this process."""
    return dict(_ran)


def failures() -> dict[tuple[str, str], str]:
    """Those of `reasons` that are failures: the backend is installed and its self-test did not pass."""
    return {key: reason for key, reason in reasons().items() if reason.startswith(FAILED)}


def expect_close(name: str, found: torch.Tensor, wanted: torch.Tensor, tolerance: float = 1e-4) -> None:
    """For self-tests: raises ArithmeticError unless the tensors agree to `tolerance` of the largest wanted value."""
    if found.shape != wanted.shape:
        raise ArithmeticError(f"{name} has shape {list(found.shape)}, not {list(wanted.shape)}")
    found, wanted = found.detach(), wanted.detach()
    off = float((found - wanted).abs().max()) if found.numel() else 0.0
    if not off <= tolerance * float(wanted.abs().max() if wanted.numel() else 0.0):
        raise ArithmeticError(f"{name} is off by {off:.2g}")


def _check(name: str, source: str) -> None:
    if name not in CHOICES:
        raise BackendError(f'{source} is "{name}", which is not a backend. '
                           f'Set it to one of {", ".join(CHOICES)}, or unset it.')


def _why_not(op: str, name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    if name not in _registry.get(op, {}):
        return f'there is no "{name}" implementation'
    _, unusable, self_test = _registry[op][name]
    try:
        reason = unusable(device, dtype)
    except Exception as error:  # a broken optional package may raise anything; the reason is kept
        return _causes(error)
    return reason if reason is not None or self_test is None else _verdict(op, name, device, self_test)


def _verdict(op: str, name: str, device: torch.device, self_test: Callable[[torch.device], None]) -> str | None:
    key = op, name, device.type
    if key not in _verdicts:
        with _lock:
            if key not in _verdicts:
                try:
                    with torch.inference_mode(False), torch.enable_grad():
                        self_test(device)
                    _verdicts[key] = None
                except Exception as error:  # whatever a compiler or a driver raises is the reason
                    _verdicts[key] = f"{FAILED}: {_causes(error)}"
    return _verdicts[key]


def _causes(error: BaseException) -> str:
    """The error, and those that led to it: a build that fails after an import that failed names both."""
    text = f"{type(error).__name__}: {error}"
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text if earlier is None else f"{text}, after {_causes(earlier)}"


def _keep(op: str, name: str, reason: str, level: int) -> None:
    if _reasons.get((op, name)) != reason:
        _reasons[op, name] = reason
        _log.log(level, '%s: backend "%s" cannot be used (%s); "%s" works now, slower',
                 op, name, reason, REFERENCE)


def _forget_lock() -> None:
    """Makes a new lock after a fork: the child cannot release one that another thread of its parent held."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)
