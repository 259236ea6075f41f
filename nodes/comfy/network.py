"""The part of the door to ComfyUI that copies the network of a MODEL: a frozen, differentiable copy.

ComfyUI moves and patches the weights of its networks while they run, in inference mode. Training an adapter needs a
copy with fixed weights on the device, which takes the memory of the network a second time.
"""
from __future__ import annotations

import copy
from typing import Any, Hashable, Mapping

import torch
from torch import Tensor

from ..core.errors import DistillError
from .model import Conditioning, HostModel, private_copy

NETWORK = "diffusion_model"


class NetworkCopy:
    """Like HostModel, but with a copy of its network whose weights include the MODEL's patches (LoRAs)."""

    def __init__(self, host: HostModel, name: str):
        """name: the beginning of error messages."""
        self.host, self.name = host, name
        model = host.model.model
        device, dtype = host.model.load_device, model.get_dtype_inference()
        self.inner = copy.copy(model)
        self.network = private_copy(model.diffusion_model, device, dtype)
        self.inner.__dict__.update(_modules={**model._modules, NETWORK: self.network}, current_patcher=None)
        with torch.no_grad():
            for key, weight in _patched(host.model):
                self.network.get_parameter(key).copy_(weight)

    @property
    def prediction(self) -> str:
        kind = self.inner.model_type.name
        return "v_prediction" if kind.startswith("V_PREDICTION") else "flow" if kind.startswith("FL") else "epsilon"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    def denoise(self, x: Tensor, sigma: Tensor, conditions: Mapping[str, Conditioning], key: Hashable) -> list[Tensor]:
        """Like HostModel.denoise, but differentiable in adapters of `network`. Raises DistillError for conditions other
        than one text for the whole picture."""
        device = self.host.model.load_device
        x, sigma = x.to(device, torch.float32), sigma.to(device, torch.float32)
        with torch.inference_mode():
            prepared = self.host.prepare(x, conditions, key)
        return [self._answer(x, sigma, entries) for entries in prepared]

    def _answer(self, x: Tensor, sigma: Tensor, entries: list) -> Tensor:
        first = entries[0]
        if len(entries) != 1 or any(first.get(extra) is not None
                                    for extra in ("control", "area", "mask", "gligen", "hooks")):
            raise DistillError(f"{self.name}: the second model is asked with a text for the whole picture, and what is "
                               "wired to the Prior from MODEL holds more (a ControlNet, a mask, several texts). Give "
                               "it a CLIP or a plain CONDITIONING.")
        texts = {extra: _ordinary(value.process_cond(batch_size=len(x), area=None).cond)
                 for extra, value in first["model_conds"].items()}
        return self.inner.apply_model(x, sigma, **texts).float()


def _patched(patcher: Any):
    """(name in the network, weight) for every weight that any MODEL of this checkpoint patches, with the patches of
    this MODEL."""
    from comfy.lora import calculate_weight

    for key in {*patcher.patches, *patcher.backup}:
        place, _, name = key.partition(".")
        if place == NETWORK:
            kept = patcher.backup.get(key)
            weight = kept.weight if kept is not None else patcher.model.get_parameter(key)
            yield name, calculate_weight(patcher.patches.get(key, []), weight.detach().float().clone(), key)


def _ordinary(value: Any) -> Any:
    """A normal tensor: ComfyUI's are inference tensors, which autograd cannot save for the backward pass."""
    return value.clone() if isinstance(value, Tensor) and value.is_inference() else value
