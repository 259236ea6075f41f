"""One denoiser for every kind of model: a network, the noise it was trained with, and what it predicts."""
from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Callable, Iterator

import torch
from torch import Tensor

from ..core.prior import Attach, PlainPrior
from .noise import Noise


class Denoiser:
    """The place where a prior calls its network, so that an adapter has one place to be attached.

    noise        noise levels by timestep, on the device of the prior
    prediction   what the network predicts, one of kernels.distill.prediction.PREDICTIONS
    is_compiled  the network was rewritten by torch.compile, which does not see hooks: it runs as written under an
                 adapter
    """

    def __init__(self, noise: Noise, prediction: str, is_compiled: bool = False):
        self.noise, self.prediction, self.is_compiled = noise, prediction, is_compiled
        self._attach: Attach | None = None

    def call(self, network: Callable[[], Tensor], views: Tensor) -> Tensor:
        """What `network`() predicts, in float32.

        views  [N] int64: the view that each row of the network's batch belongs to, -1 for rows that belong to none
        """
        with self.attached(views):
            return network().float()

    def attached(self, views: Tensor) -> AbstractContextManager:
        """The context of one call of the network."""
        return nullcontext() if self._attach is None else self._attach(views)

    def clean(self, z_t: Tensor, t: Tensor, predicted: Tensor) -> Tensor:
        """z0 [B,C,h,w] from the prediction [B,C,h,w] for z_t [B,C,h,w] at timesteps t [B]."""
        return self.noise.clean(z_t, t, predicted, self.prediction)

    @contextmanager
    def adapted(self, attach: Attach) -> Iterator[None]:
        """Inside, the network is called within attach(views)."""
        stance: AbstractContextManager = torch.compiler.set_stance("force_eager") if self.is_compiled else nullcontext()
        kept, self._attach = self._attach, attach
        try:
            with stance:
                yield
        finally:
            self._attach = kept


class DenoiserPrior(PlainPrior):
    """What priors over a Denoiser share. `denoiser` and `device` are theirs to set."""

    is_adaptable = True

    denoiser: Denoiser
    device: torch.device

    @property
    def prediction(self) -> str:
        return self.denoiser.prediction

    @property
    def timesteps(self) -> int:
        return self.denoiser.noise.timesteps

    def sigma(self, t: Tensor) -> Tensor:
        return self.denoiser.noise.sigma(t)

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return self.denoiser.noise.add_noise(z, noise, t)

    def adapted(self, attach: Attach) -> AbstractContextManager:
        return self.denoiser.adapted(attach)

    def private(self):
        """Itself: nothing else moves or patches the network of a prior that was read from files."""
        return self


def each_view(batch: int, conditions: int) -> Tensor:
    """The views of a batch that is repeated for every condition: [conditions * batch] int64."""
    return torch.arange(batch).repeat(conditions)
