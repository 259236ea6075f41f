"""The state of a run on disk: what it takes to go on as if nothing had happened."""
from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Mapping

import torch
from torch import Tensor, nn

from ..core.errors import DistillError
from ..core.scene import load_state


def fingerprint(*parts: Any) -> str:
    """A short name of a run: equal recipes give equal names, in every process.

    Frozen dataclasses, tuples, numbers, strings and tensors count by their content.
    """
    digest = hashlib.sha256()
    _feed(digest, parts)
    return digest.hexdigest()[:20]


def _feed(digest, part: Any) -> None:
    if isinstance(part, Tensor):
        digest.update(str((part.dtype, tuple(part.shape))).encode())
        digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        digest.update(type(part).__name__.encode())
        for field in dataclasses.fields(part):
            # What a run measured (minutes, for one) and whose kernels computed it are no part of what it is.
            if field.name not in ("notes", "backend"):
                digest.update(field.name.encode())
                _feed(digest, getattr(part, field.name))
    elif isinstance(part, Mapping):
        for key in sorted(part):
            digest.update(str(key).encode())
            _feed(digest, part[key])
    elif isinstance(part, (tuple, list)):
        digest.update(b"(")
        for item in part:
            _feed(digest, item)
        digest.update(b")")
    elif isinstance(part, (set, frozenset)):  # their order differs between processes
        _feed(digest, sorted(part))
    else:
        text = repr(part)
        if " at 0x" in text:
            raise TypeError(f"{type(part).__name__} has no stable text: make it a frozen dataclass or give it a __repr__")
        digest.update(text.encode() + b";")


def gather(scene: nn.Module, optimizer: torch.optim.Optimizer, losses: Mapping[str, Any]) -> dict[str, Tensor]:
    """All tensors of a run by name."""
    tensors = {f"scene.{name}": tensor for name, tensor in scene.state_dict().items()}
    for index, slots in optimizer.state_dict()["state"].items():
        for key, value in slots.items():
            if value is not None:
                tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
    for name, loss in losses.items():
        tensors.update({f"loss.{name}.{key}": value for key, value in loss.state_dict().items()})
    return tensors


def scatter_scene(tensors: Mapping[str, Tensor], scene: nn.Module) -> None:
    """Puts the scene's part of what `gather` gave back in place. Raises DistillError when it belongs to another scene.

    The scene may have other parameters afterwards (see load_state): its optimiser is built after this."""
    load_state(scene, _below(tensors, "scene."))


def scatter(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, losses: Mapping[str, Any]) -> None:
    """Puts the rest of what `gather` gave back in place. Raises DistillError when it belongs to another scene."""
    whole = optimizer.state_dict()
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in _below(tensors, "optimizer.").items():
        index, key = name.split(".", 1)
        slots.setdefault(int(index), {})[key] = value
    known = {index for entry in whole["param_groups"] for index in entry["params"]}
    if not set(slots) <= known:
        raise DistillError("Resume: the saved optimiser has other parameters than this scene. Start without resuming.")
    optimizer.load_state_dict({"state": slots, "param_groups": whole["param_groups"]})
    for name, loss in losses.items():
        loss.load_state_dict(_below(tensors, f"loss.{name}."))


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name[len(prefix):]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
