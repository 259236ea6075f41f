"""LoRA Prior: another prior with low-rank weights beside its network, to be trained by a loss."""
from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ContextManager, Sequence

import torch
from torch import Tensor

from ...kernels.distill.vsd import denoising_error
from ..comfy import PRIOR, Node, io, seed_input
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.prior import Condition, LoadedPriors, Prior, PriorRecipe
from ..models.adapter import CAMERA, Adapter

NAME = "LoRA Prior"


@dataclass(frozen=True)
class LoRA:
    """A recipe.

    prior  the one whose network is used, together with whoever else uses it
    rank   of the weights beside each attention projection; published 4
    seed   of the weights that training starts from
    """

    prior: PriorRecipe
    rank: int = 4
    seed: int = 0

    @property
    def image(self) -> str:
        return getattr(self.prior, "image", "")

    def load(self, device: torch.device) -> "LoRAPrior":
        return LoRAPrior(self.prior.load(device), self.rank, self.seed)

    def load_from(self, priors: LoadedPriors) -> "LoRAPrior":
        return LoRAPrior(priors(self.prior), self.rank, self.seed)


class LoRAPrior:
    """The TunablePrior contract over another prior, whose network stays as it is, or a copy of it where the host owns it.

    The adapter is told of the cameras: c2w, row by row, is embedded and added to the embedding of the timestep, as
    published. What is not said here is the other prior's.
    """

    name = NAME

    def __init__(self, base: Prior, rank: int, seed: int):
        self.base = base.private() if hasattr(base, "private") else base
        self.rank, self.seed = rank, seed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.base, name)

    @cached_property
    def adapter(self) -> torch.nn.Module:
        network = getattr(self.base, "network", None)
        if network is None:
            raise DistillError(f"{self.name}: a {type(self.base).__name__} does not give its network away. Use a Stable "
                               "Diffusion, DeepFloyd IF, Zero123, MVDream or Built-in Prior, or a Prior from MODEL.")
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                return self._new_adapter(network).to(self.base.device)
            except ValueError as error:
                raise DistillError(f"{self.name}: a {type(network).__name__} cannot have small weights beside its attention "
                                   f"({error}). Use a model of Stable Diffusion's family or DeepFloyd IF.") from error

    def _new_adapter(self, network: torch.nn.Module) -> torch.nn.Module:
        return Adapter(network, self.rank)

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[Condition], cameras: Cameras | None) -> list[Tensor]:
        return self._answer(z_t, t, conditions, cameras, is_blind=False)

    def error(self, z: Tensor, noise: Tensor, t: Tensor, condition: Condition, cameras: Cameras | None,
              is_blind: bool = False) -> Tensor:
        z0, = self._answer(self.base.add_noise(z, noise, t), t, [condition], cameras, is_blind)
        return denoising_error(z[:, :self.base.channels], z0, self.base.sigma(t), self.base.prediction)

    def _answer(self, z_t: Tensor, t: Tensor, conditions, cameras: Cameras | None, is_blind: bool) -> list[Tensor]:
        known = cameras is not None and not is_blind
        camera = cameras.c2w.flatten(1).to(z_t) if known else z_t.new_zeros(len(z_t), CAMERA)
        with self.adapter.attached(self.base.network, camera), _uncompiled(self.base):
            return self.base.denoise(z_t, t, conditions, cameras)


def _uncompiled(base: Prior) -> ContextManager:
    """Inside, a network that torch.compile rewrote runs as it was written: only then does it see the adapter's hooks."""
    is_compiled = getattr(base, "unet", base.network) is not base.network
    return torch.compiler.set_stance("force_eager") if is_compiled else nullcontext()


class LoRAPriorNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_LoRAPrior", display_name=NAME, category="Distill3D/priors",
            description="Another prior with small weights beside its network, which VSD Loss trains on what is rendered.",
            search_aliases=["lora", "vsd", "prolificdreamer", "fine-tune"],
            inputs=[
                PRIOR.Input("prior", tooltip="The prior whose network is used, which stays as it is. Of a Prior from MODEL a copy "
                            "is made; the others share theirs."),
                io.Int.Input("rank", default=4, min=1, max=128, tooltip="Rank of the weights beside each projection of the "
                             "attention; published: 4."),
                seed_input("Of the weights that training starts from."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For the input lora of VSD Loss. Untrained, it answers as the prior that came "
                                  "in.")])

    @classmethod
    def execute(cls, prior, rank=4, seed=0) -> io.NodeOutput:
        return io.NodeOutput(LoRA(prior, rank, seed))
