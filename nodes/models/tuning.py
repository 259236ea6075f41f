"""Training the weights that a prior carries of its own, inside the loop that trains a scene."""
from __future__ import annotations

from typing import Mapping

import torch
from torch import Tensor

from ..core.errors import DistillError
from ..core.prior import TunablePrior


class Tuner:
    """A prior's adapter and its optimiser (AdamW), which together are the state.

    name  what begins its errors: the node's
    what  what these call the adapter
    """

    def __init__(self, prior: TunablePrior, name: str, what: str):
        self.prior, self.name, self.what = prior, name, what
        self.optimizer = self._new_optimizer()

    def step(self, error: Tensor, elements: int, rate: float) -> None:
        """One step downhill. error: a scalar, the mean over `elements`. A gradient that is not finite changes nothing."""
        parameters = list(self.prior.adapter.parameters())
        # Of the sum over elements, and divided afterwards: the mean's gradient is too small for half precision.
        gradients = torch.autograd.grad(error * elements, parameters, allow_unused=True)
        finite = [gradient.isfinite().all() for gradient in gradients if gradient is not None]
        if not finite or bool(torch.stack(finite).all()):  # one question to the device, not one for each
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = None if gradient is None else gradient / elements
            for entry in self.optimizer.param_groups:
                entry["lr"] = rate
            self.optimizer.step()
            self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"adapter.{name}": tensor.detach().clone() for name, tensor in self.prior.adapter.state_dict().items()}
        for index, slots in self.optimizer.state_dict()["state"].items():
            state.update({f"optimizer.{index}.{key}": value.detach().clone() for key, value in slots.items()})
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises DistillError for the state of another adapter."""
        adapter, slots = {}, {}
        for name, tensor in state.items():
            place, key = name.split(".", 1)
            if place == "adapter":
                adapter[key] = tensor
            else:
                index, key = key.split(".", 1)
                slots.setdefault(int(index), {})[key] = tensor.clone()
        try:
            self.prior.adapter.load_state_dict(adapter)
        except RuntimeError as error:
            raise DistillError(f"{self.name}: the saved {self.what} does not fit this one "
                               f"({str(error).splitlines()[-1].strip()}). Start without resuming.") from error
        self.optimizer = self._new_optimizer()
        self.optimizer.load_state_dict({"state": slots, "param_groups": self.optimizer.state_dict()["param_groups"]})

    def _new_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.prior.adapter.parameters(), betas=(0.9, 0.99))
