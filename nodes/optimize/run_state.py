"""The state of a run on disk: what it takes to continue as if nothing had happened, and in the end its result."""
from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Mapping

import torch
from torch import Tensor

from ..core.fused_step import load_slots
from ..core.scene import load_state
from ..core.state import read_facts, read_state, save_state
from .step import Training


class RunState:
    """The file of one run. Facts are numbers that JSON holds.

    end   the step to which a run is continued; None: it ends at its own number of steps. Continued runs have files of
          their own, beside that of the run which they continue
    """

    def __init__(self, folder: str | Path, fingerprint: str, end: int | None = None):
        self.fingerprint = fingerprint
        self.path = Path(folder) / f"{fingerprint}{'' if end is None else f'_{end}'}.safetensors"

    def latest(self, most: int | None = None) -> tuple[Path, int] | None:
        """The file of this run, or of a continuation of it, that has come farthest, and its step; None if there is
        none from which training can go on.

        most  files beyond this step are left out
        """
        found = []
        for path in (*self.path.parent.glob(f"{self.fingerprint}.safetensors"),
                     *self.path.parent.glob(f"{self.fingerprint}_*.safetensors")):
            facts = read_facts(path) or {}
            step, is_whole = facts.get("step"), not facts.get("finished", True) or facts.get("whole", False)
            if isinstance(step, int) and is_whole and (most is None or step <= most):
                found.append((step, path))
        step, path = max(found, default=(0, None))
        return None if path is None else (path, step)

    def save(self, training: Training, facts: Mapping[str, Any]) -> None:
        """The tensors of a run that has not ended, written atomically."""
        save_state(self.path, gather(training), {"fingerprint": self.fingerprint, **facts, "finished": False})

    def resume(self, training: Training, path: Path | None = None) -> dict[str, Any] | None:
        """Puts the saved tensors into `training` and returns the facts; None if there is no file.

        path  a file of `latest`; None: this run's own
        """
        path = path or self.path
        if not path.is_file():
            return None
        tensors, facts = read_state(path)
        _use(path)
        scatter(tensors, training)
        return facts

    def finish(self, training: Training, facts: Mapping[str, Any]) -> None:
        """Keeps the result, so that later stages resume without repeating this one, with everything that it takes to
        continue training.

        facts  from `finished_facts`: no times, so that equal runs leave equal bytes
        """
        save_state(self.path, gather(training), {**facts, "whole": True})

    def reopen(self) -> None:
        """Lets a run that ended early continue from where it stopped, because the whole run was cancelled after
        that."""
        if self.path.is_file():
            tensors, facts = read_state(self.path)
            save_state(self.path, tensors, {**facts, "finished": False})

    def finished_facts(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """The facts that are saved with the tensors of a finished run."""
        return {"fingerprint": self.fingerprint, **facts, "finished": True}

    def finished(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """The scene's tensors and the facts of a run that had ended; None otherwise."""
        if not self.path.is_file():
            return None
        if not (read_facts(self.path) or {"finished": True}).get("finished"):
            return None
        tensors, facts = read_state(self.path)
        _use(self.path)
        facts.pop("whole", None)
        return _below("scene.", tensors), facts


def _use(path: Path) -> None:
    """Marks a file as used now, so that it is among the last to be deleted."""
    with contextlib.suppress(OSError):
        os.utime(path)


def gather(training: Training) -> dict[str, Tensor]:
    """All tensors of a run by name."""
    tensors = _above("scene.", training.scene.state_dict()) | _views(training)
    for index, slots in training.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in slots.items()
                    if value is not None}
    for name, loss in training.losses.items():
        tensors |= _above(f"loss.{name}.", loss.state_dict())
    return tensors


def scatter(tensors: Mapping[str, Tensor], training: Training) -> None:
    """Puts the tensors of `gather` in place. Raises DistillError if they belong to a run that was wired differently."""
    load_state(training.scene, _below("scene.", tensors))
    for name, views in enumerate(training.views):
        views.load_state_dict(_below(f"views.{name}.", tensors))
    training.optimizer = training.new_optimizer()  # the scene may have other parameters now
    slots: dict[str, dict[str, Tensor]] = {}
    for name, value in _below("optimizer.", tensors).items():
        index, _, key = name.partition(".")
        slots.setdefault(index, {})[key] = value
    load_slots(training.optimizer, slots, "Resume")
    for name, loss in training.losses.items():
        loss.load_state_dict(_below(f"loss.{name}.", tensors))


def _views(training: Training) -> dict[str, Tensor]:
    return {f"views.{name}.{key}": tensor for name, views in enumerate(training.views)
            for key, tensor in views.state_dict().items()}


def _above(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
