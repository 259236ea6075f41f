"""A diffusion model as losses and samplers see it: one denoiser, whatever its network predicts."""
from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
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

        Parts that cannot be mixed (a shared image, for example) must be equal in both and are kept.
        """


@dataclass(frozen=True)
class TextCondition:
    """Encoded texts.

    embedding  [B,L,C] one vector for each token
    pooled     [B,P] one vector for each text, for models that take one
    mask       [B,L] 1 at tokens of the text, 0 at padding, for models whose network takes it
    """

    embedding: Tensor
    pooled: Tensor | None = None
    mask: Tensor | None = None

    def __len__(self) -> int:
        return len(self.embedding)

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        return self.embedding, self.pooled, self.mask

    def take(self, index: Tensor) -> "TextCondition":
        index = index.to(self.embedding.device)
        return TextCondition(*(None if part is None else part[index] for part in self.parts))

    def join(self, rows: Sequence["TextCondition"]) -> "TextCondition":
        return TextCondition(*(None if parts[0] is None else torch.cat(parts)
                               for parts in zip(*(row.parts for row in rows))))

    def lerp(self, other: "TextCondition", weight: Tensor) -> "TextCondition":
        """The mask of a mixture holds the tokens of both texts."""
        weight = upload(weight, self.embedding.device, self.embedding.dtype)
        pooled = None if self.pooled is None else torch.lerp(self.pooled, other.pooled, weight[:, None])
        mask = None if self.mask is None else torch.maximum(self.mask * (weight < 1)[:, None],
                                                            other.mask * (weight > 0)[:, None])
        return TextCondition(torch.lerp(self.embedding, other.embedding, weight[:, None, None]), pooled, mask)

    def to(self, device: torch.device | str) -> "TextCondition":
        return TextCondition(*(None if part is None else part.to(device) for part in self.parts))


@dataclass(frozen=True)
class Encoded:
    """Pictures in the space of a prior.

    clean   [B,C,h,w] what the prior denoises: pixels in [-1,1] or scaled latents. Differentiable in the picture
    beside  [B,K,h,w] what it denoises them beside, such as the depth that colours are painted on, or None. It gets no
            noise, is not predicted, and takes no gradient
    """

    clean: Tensor
    beside: Tensor | None = None

    def __len__(self) -> int:
        return len(self.clean)

    def detach(self) -> "Encoded":
        return Encoded(self.clean.detach(), self.beside)

    def expand(self, batch: int) -> "Encoded":
        """One picture as a batch of equal ones."""
        return Encoded(*(None if part is None else part.expand(batch, -1, -1, -1)
                         for part in (self.clean, self.beside)))


class Prior(Protocol):
    """A loaded prior. The weights of its network are frozen: gradients pass through encode_image, and reach an adapter
    that is attached to the network. Call `denoise` under `no_grad` unless you train an adapter.

    channels    C of the space that it denoises (3 for pixels, 4 for most latents)
    size        h = w of that space
    views       images that it denoises jointly: 1, or a group size that divides the batch
    timesteps   number of noise levels
    device      of what it takes and returns, which is float32 whatever the network computes in
    is_adaptable, is_tunable, is_learning  it is an AdaptablePrior, a TunablePrior, a LearningPrior
    has_text_negatives  encode_negatives is encode_prompts: the unconditional input is a text like any other
    """

    channels: int
    size: int
    views: int
    timesteps: int
    device: torch.device
    is_adaptable: bool
    is_tunable: bool
    is_learning: bool
    has_text_negatives: bool

    def encode_prompts(self, texts: Sequence[str]) -> Condition:
        """One row per text."""

    def encode_negatives(self, texts: Sequence[str]) -> Condition:
        """The conditions that guidance leads away from, one row per text: the texts themselves for text-to-image
        models, the unconditional input for models that are conditioned on something else, such as a picture."""

    def encode_image(self, rgb: Tensor) -> Encoded:
        """rgb [B,H,W,3] in [0,1]. Differentiable. Priors of pixels resize and map to [-1,1].

        Priors of another picture than rgb take the channels of that picture (nodes.core.picture).
        """

    def decode_image(self, z: Tensor) -> Tensor:
        """z [B,C,h,w] -> rgb [B,H,W,3] in [0,1]."""

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level of timesteps t [B] (int64) relative to the signal: sqrt((1 - abar) / abar)  [B]."""

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t [B,C,h,w], in the scaling that `denoise` takes."""

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[Condition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        """The predicted z0 [B,C,h,w] under each of the conditions, evaluated in one batch.

        beside  as encode_image returned it

        For every kind of model the residual (z - z0) / sigma(t) is eps_hat - noise: the direction of score
        distillation. Raises DistillError for a batch that is no multiple of `views`.
        """

    def release(self) -> None:
        """Gives back what the prior holds outside itself, at the end of a run."""


class PlainPrior:
    """What most priors have in common: the unconditional input is a text, nothing is held outside, nothing is
    trained."""

    is_adaptable = False
    is_tunable = False
    is_learning = False
    has_text_negatives = True

    def encode_negatives(self, texts: Sequence[str]) -> Condition:
        return self.encode_prompts(texts)

    def release(self) -> None:
        return None


def draw_timesteps(prior: Prior, batch: int, low: int, high: int, generator: torch.Generator) -> Tensor:
    """[B] int64 in low..high, both included; one draw per group for priors that see several views at once."""
    t = torch.randint(low, high + 1, (-(-batch // prior.views),), generator=generator)
    return t.repeat_interleave(prior.views)[:batch]


# Attaches an adapter for one call of the network: given the view [N] int64 that each row of the network's batch belongs
# to (-1 for rows that belong to none), a context inside which the network runs with the adapter.
Attach = Callable[[Tensor], AbstractContextManager]


class AdaptablePrior(Prior, Protocol):
    """A prior whose network can be run with an adapter.

    network     the network itself, frozen
    prediction  what it predicts, one of kernels.distill.prediction.PREDICTIONS
    """

    network: nn.Module
    prediction: str

    def adapted(self, attach: Attach) -> AbstractContextManager:
        """Inside, every call of the network in `denoise` is made within attach(views)."""

    def private(self) -> "AdaptablePrior":
        """A prior whose network nobody else moves or patches while it is trained: itself, where that holds already."""


class TunablePrior(Prior, Protocol):
    """A prior with weights of its own, which a loss may train.

    adapter  the module that holds them; untrained, the prior answers as the one that it was made from
    """

    adapter: nn.Module

    def error(self, z: Encoded, noise: Tensor, t: Tensor, condition: Condition, cameras: Cameras | None,
              drops_camera: bool = False) -> Tensor:
        """The mean squared error of what the network predicts of z_t: a scalar, differentiable in the adapter.

        noise         [B,C,h,w]
        drops_camera  the adapter gets no cameras, as in classifier-free training
        """


class LearningPrior(TunablePrior, Protocol):
    """A tunable prior that makes its own training data from renderings."""

    def learn(self, encode: Callable[[], Encoded], cameras: Cameras, read: Callable[[Cameras], Sequence[Condition]],
              step: int, total: int, streams: Streams) -> Tensor:
        """One step of its training. Returns its error before the step.

        encode  gives the present renderings of `cameras` in the space of the prior, without gradients; most steps do
                not need them
        read    the conditions of cameras: the negative one, and the text of each view
        """

    def state_dict(self) -> dict[str, Tensor]:
        """Its weights, their optimiser, and its training data."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class PriorRecipe(Protocol):
    """What a PRIOR wire carries: how to load a prior. Hashable, so that one model is loaded once per run.

    image  the one picture of nodes.core.picture that the prior knows, or "" for priors of rgb and the like
    """

    image: str

    def load(self, priors: "LoadedPriors") -> Prior:
        """Loads the prior on priors.device. A recipe that is made from another one shares its network by
        priors(other)."""


class LoadedPriors:
    """Each recipe's prior, loaded once and shared by every loss of a run."""

    def __init__(self, device: torch.device):
        self.device = device
        self._priors: dict[Any, Prior] = {}

    def __call__(self, recipe: PriorRecipe) -> Prior:
        if recipe not in self._priors:
            self._priors[recipe] = recipe.load(self)
        return self._priors[recipe]

    def release(self) -> None:
        """At the end of a run, also of a failed one."""
        priors, self._priors = list(self._priors.values()), {}
        for prior in priors:
            prior.release()
