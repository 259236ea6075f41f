"""The objects on wires of ComfyUI, with a text that identifies their content, for the fingerprint of a run."""
from __future__ import annotations

import hashlib
import uuid
from enum import Enum
from typing import Any, Callable, Mapping

import torch
from torch import Tensor, nn

PLAIN = (type(None), bool, int, float, str, bytes, torch.dtype, Enum)
SAMPLES = 4  # positions along each dimension of a weight


class Sockets:
    """ComfyUI's objects in a recipe, by name; equal only to itself.

    Its repr depends on classes, settings, patches and a sample of every weight, and is the same in every process. If
    something cannot be identified, such as a function from another node, the repr is unique to this object.
    """

    def __init__(self, **objects: Any):
        self.objects = objects
        self._text = ""

    def __getitem__(self, name: str) -> Any:
        return self.objects[name]

    def __repr__(self) -> str:
        if not self._text:
            digest = hashlib.sha256()
            try:
                _feed(digest.update, self.objects)
                self._text = f"Sockets({digest.hexdigest()[:20]})"
            # objects of other nodes may raise any exception while they are read
            except (TypeError, AttributeError, RuntimeError):
                self._text = f"Sockets(unreadable {uuid.uuid4().hex})"
        return self._text


def _feed(update: Callable[[bytes], None], part: Any) -> None:
    if isinstance(part, Tensor):
        update(f"{part.dtype} {tuple(part.shape)}".encode())
        update(_sample(part))
    elif isinstance(part, PLAIN):
        update(f"{part!r};".encode())
    elif isinstance(part, Mapping):
        for key in sorted(part, key=str):
            if " at 0x" in str(key):
                raise TypeError(f"{key} has no stable text")
            update(f"{key}:".encode())
            _feed(update, part[key])
        update(b"}")
    elif isinstance(part, (list, tuple)):
        for item in part:
            _feed(update, item)
        update(b"]")
    elif isinstance(part, (set, frozenset)):
        _feed(update, sorted(map(str, part)))
    elif isinstance(part, nn.Module):
        update(type(part).__name__.encode())
        _feed(update, dict(part.state_dict()))
    else:
        update(type(part).__name__.encode())
        _feed(update, _facts(part))


def _facts(part: Any) -> Mapping[str, Any]:
    """The content that identifies one of ComfyUI's objects. Raises TypeError for unknown classes."""
    if hasattr(part, "model_options") and hasattr(part, "patches"):  # MODEL
        weights = {**part.model.state_dict(), **{name: kept.weight for name, kept in part.backup.items()}}
        return {"class": type(part.model).__name__, "weights": weights, "patches": part.patches,
                "objects": part.object_patches, "options": part.model_options,
                "prediction": str(getattr(part.model, "model_type", "")),
                "hooks": [str(key) for key in part.hook_patches]}
    if hasattr(part, "first_stage_model"):  # VAE
        return {"weights": part.first_stage_model, "dtype": part.vae_dtype}
    if hasattr(part, "cond_stage_model"):  # CLIP
        weights = {**part.cond_stage_model.state_dict(),
                   **{name: kept.weight for name, kept in part.patcher.backup.items()}}
        return {"weights": weights, "patches": part.patcher.patches, "layer": part.layer_idx,
                "tokenizer": type(part.tokenizer).__name__, "options": part.tokenizer_options,
                "hooks": part.apply_hooks_to_conds, "forced": part.patcher.forced_hooks}
    if hasattr(part, "loaded_keys") and hasattr(part, "weights"):  # the part of a LoRA (or similar) for one weight
        return {"weights": part.weights}
    raise TypeError(f"{type(part).__name__} is not known")


def _sample(tensor: Tensor) -> bytes:
    """A sample of a tensor's numbers from all over it, without a copy of the tensor."""
    steps = tuple(slice(None, None, max(1, size // SAMPLES)) for size in tensor.shape)
    return tensor.detach()[steps].double().cpu().contiguous().numpy().tobytes()
