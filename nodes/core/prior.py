"""A diffusion model as losses and samplers see it: one denoiser, whatever the model predicts."""
from __future__ import annotations

from typing import Any, Callable, Mapping, Protocol, Sequence

import torch
from torch import Tensor, nn

from ...kernels.upload import upload
from .cameras import Cameras
from .rng import Streams


class Condition(Protocol):
    """An encoded text (or image) per view."""

    def take(self, index: Tensor) -> "Condition":
        """The rows at `index` [B]."""

    def join(self, rows: Sequence["Condition"]) -> "Condition":
        """The rows of several conditions, one after the other (self is not included unless listed)."""

    def lerp(self, other: "Condition", weight: Tensor) -> "Condition":
        """Row by row (1 - weight) * self + weight * other, weight [B] in [0,1]: exactly self at 0, exactly other at 1.

        What a prior cannot mix (a shared image, say) must be equal in both and stays.
        """


class TextCondition:
    """Embeddings [B,L,C], as most text-to-image priors need them."""

    def __init__(self, embedding: Tensor):
        self.embedding = embedding

    def take(self, index: Tensor) -> "TextCondition":
        return TextCondition(self.embedding[index.to(self.embedding.device)])

    def join(self, rows: Sequence["TextCondition"]) -> "TextCondition":
        return TextCondition(torch.cat([row.embedding for row in rows]))

    def lerp(self, other: "TextCondition", weight: Tensor) -> "TextCondition":
        weight = upload(weight, self.embedding.device, self.embedding.dtype).view(-1, 1, 1)
        return TextCondition(torch.lerp(self.embedding, other.embedding, weight))


class Prior(Protocol):
    """A loaded prior. Its network's weights are frozen: gradients pass encode_image, and reach what a wrapper adds to the
    network. Whoever asks `denoise` in order to learn nothing switches them off.

    channels    C of the space it denoises (3 pixels, 4 latents)
    size        h = w of that space
    views       images it denoises jointly: 1, or a group size that divides the batch
    timesteps   number of noise levels
    device, dtype  of what it takes and gives (fp32 on the outside, whatever the network computes in)
    """

    channels: int
    size: int
    views: int
    timesteps: int
    device: torch.device

    def encode_prompts(self, texts: Sequence[str]) -> Condition:
        """One row per text."""

    def encode_negatives(self, texts: Sequence[str]) -> Condition:
        """What guidance leads away from, one row per text. Only for priors that are led by something else than texts, a
        picture for one: they give their empty condition. The negatives of other priors are texts like any."""

    def encode_image(self, rgb: Tensor) -> Tensor:
        """rgb [B,H,W,3] in [0,1] -> z [B,C,h,w]. Differentiable. Pixel priors resize and map to [-1,1].

        Priors of another picture than rgb take its channels. A prior that paints to a given picture (colours to a
        depth) gives z with further channels behind the C of what it denoises: add_noise takes noise [B,C,h,w] and leaves
        them as they are, denoise reads them, and nothing else does.
        """

    def decode_image(self, z: Tensor) -> Tensor:
        """z [B,C,h,w] -> rgb [B,H,W,3] in [0,1]."""

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level of timesteps t [B] (int64) relative to the signal: sqrt((1 - abar) / abar)  [B]."""

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t, in the scaling that `denoise` takes."""

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[Condition], cameras: Cameras | None) -> list[Tensor]:
        """The predicted z0 [B,C,h,w] under each of the conditions, evaluated in one batch.

        For every kind of model the residual (z - z0) / sigma(t) is eps_hat - noise: the direction of score
        distillation. Raises DistillError for a batch that is no multiple of `views`.
        """

    def release(self) -> None:
        """Gives back what it holds outside itself, at the end of a run. A prior that holds nothing may lack this method."""


def encode_negatives(prior: Prior, texts: Sequence[str], encode_prompts: Callable[..., Condition] | None = None) -> Condition:
    """What guidance leads away from, one row per text: the prior's own empty condition, or the texts.

    encode_prompts  takes the place of the prior's own, where texts that were encoded before are kept
    """
    return getattr(prior, "encode_negatives", encode_prompts or prior.encode_prompts)(texts)


def draw_timesteps(prior: Prior, batch: int, low: int, high: int, generator: torch.Generator) -> Tensor:
    """[B] int64 in low..high, both included; one draw per group for priors that see several views at once."""
    t = torch.randint(low, high + 1, (-(-batch // prior.views),), generator=generator)
    return t.repeat_interleave(prior.views)[:batch]


class TunablePrior(Prior, Protocol):
    """A prior with weights of its own, which a loss may train.

    adapter  the module that holds them; untrained, the prior answers as the one that it was made from
    """

    adapter: nn.Module

    def error(self, z: Tensor, noise: Tensor, t: Tensor, condition: Condition, cameras: Cameras | None,
              is_blind: bool = False) -> Tensor:
        """The mean squared error of what the network predicts of z_t: a scalar, differentiable in the adapter.

        z, noise  as encode_image and add_noise have them
        is_blind  the adapter is not told of the cameras
        """


class LearningPrior(TunablePrior, Protocol):
    """A tunable prior that knows by itself what it is trained on, and keeps what that takes."""

    def learn(self, z: Tensor, cameras: Cameras, read: Callable[[Cameras], Sequence[Condition]], step: int, total: int,
              streams: Streams) -> Tensor:
        """One step of its training. Returns its error before the step.

        z     of what is rendered now, from `cameras`, as encode_image has it
        read  the conditions of cameras: what guidance leads away from, and the text of each view
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Its weights, their optimiser, and what it keeps for its training."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class PriorRecipe(Protocol):
    """What a PRIOR wire carries: how to load a prior. Hashable, so that one model is loaded once per run.

    A recipe whose prior knows only one of nodes.core.picture's pictures, and not rgb, names it as its attribute `image`.
    A recipe that makes its prior from another's has `load_from(priors)` too, with which the two share one network.
    """

    def load(self, device: torch.device) -> Prior: ...


class LoadedPriors:
    """Each recipe's prior, loaded once and shared by every loss of a run."""

    def __init__(self, device: torch.device):
        self.device = device
        self._priors: dict[Any, Prior] = {}

    def __call__(self, recipe: PriorRecipe) -> Prior:
        if recipe not in self._priors:
            self._priors[recipe] = recipe.load_from(self) if hasattr(recipe, "load_from") else recipe.load(self.device)
        return self._priors[recipe]

    def release(self) -> None:
        """At the end of a run, also of a failed one."""
        priors, self._priors = list(self._priors.values()), {}
        for prior in priors:
            if hasattr(prior, "release"):
                prior.release()
