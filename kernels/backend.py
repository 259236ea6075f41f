"""Which implementation of an op runs: the seam between the torch reference and the fast tier.

Every op has the reference, "torch", on every device. A faster implementation registers itself with
a test that says why it cannot run here; `pick` returns the first that can and keeps the reasons of
the others, so that a report can say what a missing package would speed up.
"""
from __future__ import annotations

import logging
import os
from typing import Callable

import torch

VARIABLE = "DISTILL3D_BACKEND"
REFERENCE = "torch"
BACKENDS = (REFERENCE, "warp", "gsplat", "nvdiffrast")

_log = logging.getLogger(__name__)
_registry: dict[str, dict[str, tuple[Callable, Callable]]] = {}
_reasons: dict[tuple[str, str], str] = {}


class BackendError(ValueError):
    """The environment names a backend that does not exist."""


def register(op: str, backend: str, implementation: Callable,
             unusable: Callable[[torch.device, torch.dtype], str | None] = lambda device, dtype: None) -> None:
    """Adds an implementation of `op`; the order of registration is the order of preference.

    unusable  (device, dtype) -> None where the implementation can run, otherwise the reason it
              cannot. An exception counts as a reason. The reference needs none.

    Raises BackendError for a backend that is not one of BACKENDS.
    """
    if backend not in BACKENDS:
        raise BackendError(f'{op}: backend "{backend}" is not one of {", ".join(BACKENDS)}')
    _registry.setdefault(op, {})[backend] = (implementation, unusable)


def pick(op: str, device: torch.device, dtype: torch.dtype) -> str:
    """Name of the backend that runs `op` on `device` at `dtype`.

    The environment variable DISTILL3D_BACKEND is "auto" (the default: the first registered
    backend that can run, the reference last) or the name of one backend; where that one cannot
    run, the reference does, the reason is logged once and kept for `reasons`.

    Raises BackendError when the variable names no backend.
    """
    wanted = os.environ.get(VARIABLE, "").strip() or "auto"
    if wanted != "auto" and wanted not in BACKENDS:
        raise BackendError(f'{VARIABLE} is "{wanted}", which is not a backend. '
                           f'Set it to one of auto, {", ".join(BACKENDS)}, or unset it.')
    if wanted == REFERENCE:
        return REFERENCE
    fast = [name for name in _registry.get(op, {}) if name != REFERENCE]
    for name in fast if wanted == "auto" else [wanted]:
        reason = _why_not(op, name, torch.device(device), dtype)
        if reason is None:
            _reasons.pop((op, name), None)
            return name
        _keep(op, name, reason, logging.INFO if wanted == "auto" else logging.WARNING)
    return REFERENCE


def implementation(op: str, device: torch.device, dtype: torch.dtype) -> Callable:
    """The registered function that `pick` chooses. Raises BackendError when `op` has no reference."""
    name = pick(op, device, dtype)
    if name not in _registry.get(op, {}):
        raise BackendError(f'op "{op}" has no "{name}" implementation registered')
    return _registry[op][name][0]


def reasons() -> dict[tuple[str, str], str]:
    """(op, backend) -> why that backend was passed over when it was last asked for."""
    return dict(_reasons)


def _why_not(op: str, name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    if name not in _registry.get(op, {}):
        return f'there is no "{name}" implementation'
    try:
        return _registry[op][name][1](device, dtype)
    except Exception as error:  # a broken optional package may raise anything; the reason is kept
        return f"{type(error).__name__}: {error}"


def _keep(op: str, name: str, reason: str, level: int) -> None:
    if _reasons.get((op, name)) != reason:
        _reasons[op, name] = reason
        _log.log(level, '%s: backend "%s" cannot be used (%s); "%s" works now, slower',
                 op, name, reason, REFERENCE)
