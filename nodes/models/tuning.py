"""Training an adapter within the training of a scene."""
from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor, nn

from ..comfy import io
from ..core.errors import DistillError
from ..core.fused_step import is_fusible, load_slots, take_step


class Tuner:
    """An adapter and its optimiser (AdamW), which together are the state. It holds the module alone and not its prior,
    so that the two make no reference cycle that would keep a network in memory.

    name     what errors begin with: the name of the node
    what     what errors call the adapter
    epsilon  of AdamW. Published: 1e-15 (threestudio's LoRA), 1e-4 (DreamCraft3D's copies, which slows them down)
    decay    weight decay of AdamW; published 0.01
    """

    def __init__(self, adapter: nn.Module, name: str, what: str, epsilon: float = 1e-8, decay: float = 0.01):
        self.adapter, self.name, self.what, self.epsilon, self.decay = adapter, name, what, epsilon, decay
        self.optimizer = self._new_optimizer()

    def step(self, error: Tensor, elements: int, rate: float) -> None:
        """One step downhill. error: a scalar, the mean over `elements`. A gradient that is not finite changes
        nothing."""
        parameters = list(self.adapter.parameters())
        # Of the sum over elements, and divided afterwards: the mean's gradient is too small for half precision.
        gradients = torch.autograd.grad(error * elements, parameters, allow_unused=True)
        finite = [gradient.isfinite().all() for gradient in gradients if gradient is not None]
        if not finite:
            return
        for parameter, gradient in zip(parameters, gradients):
            parameter.grad = None if gradient is None else gradient / elements
        for entry in self.optimizer.param_groups:
            entry["lr"] = rate
        take_step(self.optimizer, ~torch.stack(finite).all())
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"adapter.{name}": tensor.detach().clone() for name, tensor in self.adapter.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            state.update({f"optimizer.{index}.{key}": value.detach().clone() for key, value in slots.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises DistillError for the state of another adapter."""
        adapter, slots = {}, {}
        for name, tensor in state.items():
            place, _, key = name.partition(".")
            if place == "adapter":
                adapter[key] = tensor
            else:
                index, _, key = key.partition(".")
                slots.setdefault(index, {})[key] = tensor.clone()
        try:
            self.adapter.load_state_dict(adapter)
        except RuntimeError as error:
            raise DistillError(f"{self.name}: the saved {self.what} does not fit this one "
                               f"({str(error).splitlines()[-1].strip()}). Start without resuming.") from error
        self.optimizer = self._new_optimizer()
        load_slots(self.optimizer, slots, self.name)

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.adapter.parameters(), betas=(0.9, 0.99), eps=self.epsilon,
                                 weight_decay=self.decay, fused=is_fusible(self.adapter.parameters()) or None)


def adam_inputs() -> list:
    """The widgets of an adapter's optimiser."""
    return [io.Float.Input("epsilon", default=1e-8, min=1e-20, max=1.0, step=1e-8, round=False, optional=True,
                           tooltip="Of AdamW. Published: 1e-15 for LoRA (threestudio), 0.0001 for full copies "
                                   "(DreamCraft3D)."),
            io.Float.Input("decay", default=0.01, min=0.0, max=10.0, step=0.001, round=False, optional=True,
                           tooltip="Weight decay of AdamW; published: 0.01.")]
