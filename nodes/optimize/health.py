"""Detects a run that goes wrong and tells the user why."""
from __future__ import annotations

from typing import Callable, Sequence

import torch
from torch import Tensor, nn

from ...kernels import backend

BORDER = "border"  # opacity of the outermost pixels, in the facts of a step
FOG = 0.6  # mean opacity of the outermost pixels above which a scene is fog


def border_opacity(opacity: Tensor) -> Tensor:
    """[] mean of the outermost pixels of opacity [B,H,W,1], without gradients."""
    opacity = opacity.detach()
    rows, columns = opacity[:, [0, -1]], opacity[:, 1:-1, [0, -1]]
    return torch.cat([rows.flatten(), columns.flatten()]).mean()


class Health:
    """Counts steps with non-finite gradients and watches the opacity.

    warn   called with a message, once for each kind of problem
    limit  number of consecutive bad steps after which the run should stop. Bad steps are skipped, so the parameters are
           still the last good ones
    """

    def __init__(self, warn: Callable[[str], None], limit: int = 10):
        self.warn, self.limit = warn, limit
        self.skipped, self._in_a_row = 0, 0
        self._row: Tensor | None = None  # bad steps in a row, counted on the device, ahead of the host
        self.opacity: float | None = None
        self.border = 0.0
        self._told: set[str] = set()

    def is_bad(self, parameters: Sequence[nn.Parameter]) -> Tensor:
        """[] bool on the device, computed without waiting for it: whether the step must change nothing. True if a
        gradient or a parameter is not finite, and after `limit` such steps in a row (the next step starts before the
        host has counted them)."""
        totals = [parameter.grad.sum() for parameter in parameters if parameter.grad is not None]
        totals += [parameter.detach().sum() for parameter in parameters]
        finite = torch.isfinite(torch.stack(totals)).all() if totals else \
            torch.ones((), dtype=torch.bool, device=parameters[0].device)
        row = torch.zeros_like(finite, dtype=torch.int64) if self._row is None else self._row
        bad = ~finite | (row >= self.limit)
        self._row = (row + 1) * bad
        return bad

    @staticmethod
    def is_finite(parameters: Sequence[nn.Parameter]) -> bool:
        """Whether every parameter is finite. Waits for the device."""
        return all(bool(parameter.detach().isfinite().all()) for parameter in parameters)

    def count(self, is_bad: bool) -> None:
        """Counts one step by the value that `is_bad` gave it."""
        self._in_a_row = self._in_a_row + 1 if is_bad else 0
        self.skipped += is_bad

    def is_lost(self) -> bool:
        """True when the run cannot recover by itself. Warns once."""
        if self._in_a_row < self.limit:
            return False
        self._tell("lost", f"Optimize: gradients or parameters were not finite for {self.limit} steps in a row, so the "
                           "run stopped; the result is the state before them. Lower the learning rates or the guidance "
                           "scale.")
        return True

    def see(self, opacity: float, step: int, total: int, border: float = 0.0) -> None:
        """Averages the opacity over steps and warns of an empty or full scene, and of fog.

        opacity  mean over the step's pixels; border: mean over the outermost of them. An object stands inside most
                 pictures, so their border sees the background. Fog covers it, however thin it is elsewhere
        """
        is_first = self.opacity is None
        self.opacity = opacity if is_first else 0.95 * self.opacity + 0.05 * opacity
        self.border = border if is_first else 0.95 * self.border + 0.05 * border
        if step < max(20, total // 10):
            return
        if self.opacity < 1e-3:
            self._tell("empty", f"Optimize: the scene is empty (opacity {self.opacity:.5f} at step {step}). Lower the "
                                "weight of the Sparsity Loss, or raise the blob density or the guidance weight.")
        elif self.opacity > 0.995 or self.border > FOG:
            self._tell("opaque", f"Optimize: the scene is fog, or fills every image: at step {step} the opacity is "
                                 f"{self.border:.2f} at the border of the pictures and {self.opacity:.3f} in all. Move "
                                 "the cameras back, add a Sparsity Loss or raise its weight, and check that guidance "
                                 "and view words suit the prior.")

    def see_kernels(self) -> None:
        """Warns where a backend is installed and does not work: call it when every kernel has run once."""
        for (op, name), reason in backend.failures().items():
            self._tell(f"{op} {name}", f'Optimize: the backend "{name}" of {op} is installed and does not work, so '
                                       f"PyTorch runs it, several times slower ({reason}).")

    def _tell(self, name: str, text: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self.warn(text)
