"""DreamBooth Prior: a prior that is trained during the run on denoised renderings of the scene (DreamCraft3D)."""
from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..comfy import PRIOR, Node, io, scheduled, seed_input
from ..core.cameras import Cameras
from ..core.prior import Condition, Encoded, LoadedPriors, PriorRecipe, draw_timesteps
from ..core.rng import Streams
from ..core.schedule import Schedule
from ..models.adapter import WholeCopy
from ..models.tuning import Tuner, adam_inputs
from .lora_prior import LoRAPrior
from .repaint import Repainted, repaint

NAME = "DreamBooth Prior"
LORA, COPY = "LoRA", "full copy"
TEXT_DROPOUT = 0.1  # fraction of the training pictures with the negative text, as published


@dataclass(frozen=True)
class DreamBooth:
    """A recipe.

    prior     the base prior: gives the initial weights and denoises the renderings. Its network is not changed
    weights   LORA: low-rank weights in the attention, with a camera input; COPY: a copy of all weights, conditioned on
              the view by the words of the prompt only, as in the published code
    rank      of the low-rank weights
    noise     t': the timestep up to which a rendering is noised before it is denoised, as a fraction of the prior's
    guidance  of the denoising, standard form
    steps     of the denoising
    refresh   training steps between denoised batches
    kept      number of the latest denoised batches that are used for training
    rate      learning rate (AdamW)
    seed      of the low-rank weights
    epsilon, decay  of AdamW
    """

    prior: PriorRecipe
    weights: str = LORA
    rank: int = 4
    noise: Schedule = Schedule.of(0.5)
    guidance: float = 7.5
    steps: int = 25
    refresh: int = 25
    kept: int = 10
    rate: Schedule = Schedule.of(1e-4)
    seed: int = 0
    epsilon: float = 1e-8
    decay: float = 0.01

    @property
    def image(self) -> str:
        return self.prior.image

    def load(self, priors: LoadedPriors) -> "DreamBoothPrior":
        return DreamBoothPrior(priors(self.prior), self)


class DreamBoothPrior(LoRAPrior):
    """The LearningPrior contract over another prior."""

    name = NAME
    is_learning = True

    def __init__(self, base, recipe: DreamBooth):
        super().__init__(base, recipe.rank, recipe.seed)
        self.recipe = recipe
        self.repainted: list[Repainted] = []

    @cached_property
    def tuner(self) -> Tuner:
        # Created on first use, because the network must be loaded after the texts are encoded.
        return Tuner(self.adapter, NAME, "model", self.recipe.epsilon, self.recipe.decay)

    def _new_adapter(self, network: torch.nn.Module) -> torch.nn.Module:
        return WholeCopy(network) if self.recipe.weights == COPY else super()._new_adapter(network)

    def learn(self, encode: Callable[[], Encoded], cameras: Cameras, read: Callable[[Cameras], Sequence[Condition]],
              step: int, total: int, streams: Streams) -> Tensor:
        recipe = self.recipe
        if not self.repainted or step - self.repainted[-1].step >= recipe.refresh:
            z = encode()
            noise = self._noise_like(z.clean, streams("repaint noise"))
            t = min(int(recipe.noise.at(step, total) * self.timesteps), self.timesteps - 1)
            picture = repaint(self.base, z, t, noise, read(cameras), cameras, recipe.guidance, recipe.steps)
            self.repainted = [*self.repainted, Repainted(picture, cameras, step)][-recipe.kept:]
        shown = self.repainted[int(torch.randint(len(self.repainted), (), generator=streams("repainted")))]
        noise = self._noise_like(shown.z.clean, streams("learning noise"))
        t = draw_timesteps(self, len(shown.z), 0, self.timesteps - 1,
                           streams("learning timestep")).to(shown.z.clean.device)
        drops_text = torch.rand(len(shown.z), generator=streams("learning text")) < TEXT_DROPOUT
        negative, positive = read(shown.cameras)
        rows = torch.arange(len(shown.z)) + len(shown.z) * drops_text
        error = self.error(shown.z, noise, t, positive.join([positive, negative]).take(rows), shown.cameras)
        self.tuner.step(error, noise.numel(), recipe.rate.at(step, total))
        return error.detach()

    def _noise_like(self, z: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randn(z.shape, generator=generator).to(z)

    def state_dict(self) -> dict[str, Tensor]:
        state = {f"model.{name}": tensor for name, tensor in self.tuner.state_dict().items()}
        for index, batch in enumerate(self.repainted):
            state.update({f"repainted.{index}.{name}": tensor for name, tensor in batch.state_dict().items()})
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises DistillError if the state belongs to another model."""
        self.tuner.load_state_dict({name[len("model."):]: tensor
                                    for name, tensor in state.items() if name.startswith("model.")})
        batches: dict[int, dict[str, Tensor]] = {}
        for name, tensor in state.items():
            if name.startswith("repainted."):
                _, index, key = name.split(".", 2)
                batches.setdefault(int(index), {})[key] = tensor
        self.repainted = [Repainted.of_state(batches[index], self.device) for index in sorted(batches)]


class DreamBoothPriorNode(Node):
    advanced = ("rank", "refresh", "kept", "seed", "epsilon", "decay")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_DreamBoothPrior", display_name=NAME, category="Distill3D/priors",
            description="A trainable version of a prior. BSD Loss trains it, during the run, on denoised renderings of "
                        "the scene.",
            search_aliases=["dreambooth", "bsd", "dreamcraft3d", "bootstrapped", "fine-tune"],
            inputs=[
                PRIOR.Input("prior", tooltip="The base prior: it gives the initial weights and denoises the "
                            "renderings. Its network is not changed. A Prior from MODEL is copied."),
                io.Combo.Input("weights", options=[LORA, COPY], default=LORA, tooltip="LoRA: low-rank weights in the "
                               "attention, conditioned on the cameras. full copy: all weights, as published; takes "
                               "four times the memory of the network."),
                io.Int.Input("rank", default=4, min=1, max=128, tooltip="Rank of the weights of LoRA."),
                scheduled("noise", 0.5, "Timestep up to which a rendering is noised before it is denoised, as a "
                          "fraction of the prior's. It should fall during the run; published: from 0.5 to 0.2 in 5000 "
                          "steps.", min=0.0,
                          max=1.0, step=0.05),
                io.Float.Input("guidance", default=7.5, min=0.0, max=1000.0, step=0.5, tooltip="Guidance scale of the "
                               "denoising, standard form; published: 7.5."),
                io.Int.Input("steps", default=25, min=1, max=1000, tooltip="Denoising steps; "
                             "published: 25."),
                io.Int.Input("refresh", default=25, min=1, max=100000, tooltip="Training steps between denoised "
                             "batches; published: 25."),
                io.Int.Input("kept", default=10, min=1, max=1000, tooltip="Number of the latest denoised batches that "
                             "are used for training; published: 10."),
                scheduled("rate", 0.0001, "Learning rate; published: 0.00001 for a full copy.", min=0.0, max=1.0,
                          step=0.0001),
                seed_input("Seed of the initial low-rank weights."),
                *adam_inputs(),
            ],
            outputs=[PRIOR.Output("prior", tooltip="For the input prior of BSD Loss, which trains it. Before training, "
                                  "it predicts the same as the base prior.")])

    @classmethod
    def execute(cls, prior, weights=LORA, rank=4, noise=0.5, guidance=7.5, steps=25, refresh=25, kept=10, rate=0.0001,
                seed=0, epsilon=1e-8, decay=0.01) -> io.NodeOutput:
        return io.NodeOutput(DreamBooth(prior, weights, rank, Schedule.of(noise), guidance, steps, refresh, kept,
                                        Schedule.of(rate), seed, epsilon, decay))
