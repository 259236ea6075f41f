"""LoRA Prior: a prior with an adapter of low-rank weights, which a loss trains."""
from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Sequence

import torch
from torch import Tensor

from ...kernels.distill.vsd import denoising_error
from ..comfy import PRIOR, Node, io, seed_input
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.prior import AdaptablePrior, Condition, Encoded, LoadedPriors, PriorRecipe
from ..models.adapter import CAMERA, Adapter

NAME = "LoRA Prior"


@dataclass(frozen=True)
class LoRA:
    """A recipe.

    prior  the base prior, whose network is shared
    rank   of the weights at each attention projection; published 4
    seed   of the initial weights
    """

    prior: PriorRecipe
    rank: int = 4
    seed: int = 0

    @property
    def image(self) -> str:
        return self.prior.image

    def load(self, priors: LoadedPriors) -> "LoRAPrior":
        return LoRAPrior(priors(self.prior), self.rank, self.seed)


class LoRAPrior:
    """The TunablePrior contract over a base prior, whose network is not changed (that of a MODEL is copied).

    The adapter has a camera input, as published: c2w, row by row, is embedded and added to the embedding of the
    timestep. Everything else is delegated to the base prior.
    """

    name = NAME
    is_adaptable = False
    is_tunable = True
    is_learning = False

    def __init__(self, base: AdaptablePrior, rank: int, seed: int):
        if not base.is_adaptable:
            raise DistillError(f"{self.name}: a {type(base).__name__} has no network to which an adapter can be "
                               "attached. Use a Stable Diffusion, DeepFloyd IF, Zero123, MVDream or Built-in Prior, "
                               "or a Prior from MODEL.")
        self.base: AdaptablePrior = base.private()
        self.rank, self.seed = rank, seed
        self.channels, self.size, self.views = self.base.channels, self.base.size, self.base.views
        self.timesteps, self.device = self.base.timesteps, self.base.device
        self.has_text_negatives, self.trained_on = self.base.has_text_negatives, self.base.trained_on

    @cached_property
    def adapter(self) -> torch.nn.Module:
        network = self.base.network
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            try:
                return self._new_adapter(network).to(self.device)
            except ValueError as error:
                raise DistillError(f"{self.name}: a {type(network).__name__} cannot have low-rank weights in its "
                                   f"attention ({error}). Use a model of Stable Diffusion's family or DeepFloyd "
                                   "IF.") from error

    def _new_adapter(self, network: torch.nn.Module) -> torch.nn.Module:
        return Adapter(network, self.rank)

    def encode_prompts(self, texts: Sequence[str]) -> Condition:
        return self.base.encode_prompts(texts)

    def encode_negatives(self, texts: Sequence[str]) -> Condition:
        return self.base.encode_negatives(texts)

    def encode_image(self, rgb: Tensor) -> Encoded:
        return self.base.encode_image(rgb)

    def decode_image(self, z: Tensor) -> Tensor:
        return self.base.decode_image(z)

    def sigma(self, t: Tensor) -> Tensor:
        return self.base.sigma(t)

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        return self.base.add_noise(z, noise, t)

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[Condition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        with self._adapted(z_t, cameras):
            return self.base.denoise(z_t, t, conditions, cameras, beside)

    def error(self, z: Encoded, noise: Tensor, t: Tensor, condition: Condition, cameras: Cameras | None,
              drops_camera: bool = False) -> Tensor:
        z_t = self.base.add_noise(z.clean, noise, t)
        with self._adapted(z_t, None if drops_camera else cameras):
            z0, = self.base.denoise(z_t, t, [condition], cameras, z.beside)
        return denoising_error(z.clean, z0, self.base.sigma(t), self.base.prediction)

    def _adapted(self, z_t: Tensor, cameras: Cameras | None) -> AbstractContextManager:
        """The base prior with the adapter. Without cameras, the camera input is zeros."""
        c2w = z_t.new_zeros(len(z_t), CAMERA) if cameras is None else cameras.c2w.flatten(1).to(z_t)
        return self.base.adapted(lambda views: self.adapter.attached(self.base.network, c2w, views))

    def release(self) -> None:
        self.base.release()


class LoRAPriorNode(Node):
    advanced = ("seed",)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_LoRAPrior", display_name=NAME, category="Distill3D/priors",
            description="A prior with an adapter of low-rank weights (LoRA), which VSD Loss trains on the "
                        "renderings.",
            search_aliases=["lora", "vsd", "prolificdreamer", "fine-tune"],
            inputs=[
                PRIOR.Input("prior", tooltip="The base prior. Its network is shared and not changed; that of a "
                            "Prior from MODEL is copied."),
                io.Int.Input("rank", default=4, min=1, max=128, tooltip="Rank of the weights at each projection of "
                             "the attention; published: 4."),
                seed_input("Seed of the initial weights."),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For the input lora of VSD Loss. Before training, it predicts the "
                                  "same as the prior that came in.")])

    @classmethod
    def execute(cls, prior, rank=4, seed=0) -> io.NodeOutput:
        return io.NodeOutput(LoRA(prior, rank, seed))
