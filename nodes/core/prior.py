"""The interface of diffusion models: one denoiser (z_t, t) -> z0, whatever the network predicts."""
from __future__ import annotations

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Protocol, Sequence

import torch
from torch import Tensor, nn

from ...kernels.upload import upload
from .cameras import Cameras
from .rng import Streams
from .trained_on import TrainedOn


class Condition(Protocol):
    """The encoded text (or image) that conditions each view."""

    def take(self, index: Tensor) -> "Condition":
        """The rows at `index` [B]."""

    def join(self, rows: Sequence["Condition"]) -> "Condition":
        """The concatenated rows of several conditions. `self` is included only if it is listed."""

    def lerp(self, other: "Condition", weight: Tensor) -> "Condition":
        """(1 - weight) * self + weight * other for each row, weight [B] in [0,1]; exact at 0 and 1.

        Parts that cannot be interpolated, such as a shared image, must be equal in both.
        """


@dataclass(frozen=True)
class TextCondition:
    """Encoded texts.

    embedding  [B,L,C] one vector per token. Long texts have several windows of L tokens
    pooled     [B,P] one vector per text, for models with a pooled embedding
    mask       [B,L] 1 at tokens of the text, 0 at padding, for models with an attention mask
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
        """Conditions of other lengths are repeated to a common one; see `aligned`."""
        embedding, *others = zip(*(row.parts for row in rows))
        return TextCondition(torch.cat(aligned(embedding)), *(None if parts[0] is None else torch.cat(parts)
                                                              for parts in others))

    def lerp(self, other: "TextCondition", weight: Tensor) -> "TextCondition":
        """See Condition.lerp. For 0 < weight < 1 the mask is the union of both masks."""
        weight = upload(weight, self.embedding.device, self.embedding.dtype)
        pooled = None if self.pooled is None else torch.lerp(self.pooled, other.pooled, weight[:, None])
        mask = None if self.mask is None else torch.maximum(self.mask * (weight < 1)[:, None],
                                                            other.mask * (weight > 0)[:, None])
        one, two = aligned([self.embedding, other.embedding])
        return TextCondition(torch.lerp(one, two, weight[:, None, None]), pooled, mask)

    def to(self, device: torch.device | str) -> "TextCondition":
        return TextCondition(*(None if part is None else part.to(device) for part in self.parts))


def aligned(embeddings: Sequence[Tensor]) -> list[Tensor]:
    """Embeddings [B,L_i,C] repeated along their tokens to the least common multiple of the L_i. Attention to tokens
    that are all repeated equally often is attention to the tokens."""
    length = math.lcm(*(embedding.shape[1] for embedding in embeddings))
    return [embedding if embedding.shape[1] == length else embedding.repeat(1, length // embedding.shape[1], 1)
            for embedding in embeddings]


@dataclass(frozen=True)
class Encoded:
    """Pictures in the space of a prior.

    clean   [B,C,h,w] the channels that the prior denoises: pixels in [-1,1] or scaled latents. Differentiable in the
            picture
    beside  [B,K,h,w] channels that are concatenated to the network's input as a condition, such as the depth for a
            prior of albedo; or None. They get no noise, are not predicted, and have no gradient
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
    """A loaded prior. The weights of its network are frozen.

    Gradients pass through encode_image, and reach an adapter that is attached to the network. Call `denoise` under
    `no_grad` unless you train an adapter. Inputs and outputs are float32 whatever the network computes in.

    channels    C of the space in which it denoises (3 for pixels, 4 for most latents)
    size        h = w of that space
    views       number of images denoised jointly: 1, or a group size that divides the batch
    timesteps   number of noise levels
    device      of inputs and outputs
    is_adaptable, is_tunable, is_learning  whether it is an AdaptablePrior, a TunablePrior, a LearningPrior
    has_text_negatives  whether the unconditional input is a text: encode_negatives is then encode_prompts
    trained_on  what its published recipe says of its training; a run that differs is warned of
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
    trained_on: TrainedOn

    def encode_prompts(self, texts: Sequence[str]) -> Condition:
        """One row per text."""

    def encode_negatives(self, texts: Sequence[str]) -> Condition:
        """The negative conditions of classifier-free guidance, one row per text.

        Text-to-image models encode the texts. Models conditioned on something else, such as a picture, return their
        unconditional input.
        """

    def encode_image(self, rgb: Tensor) -> Encoded:
        """rgb [B,H,W,3] in [0,1], differentiable. Pixel-space priors resize it and map it to [-1,1].

        Priors of another kind of image take the channels of that kind (nodes.core.picture).
        """

    def decode_image(self, z: Tensor) -> Tensor:
        """z [B,C,h,w] -> rgb [B,H,W,3] in [0,1]."""

    def sigma(self, t: Tensor) -> Tensor:
        """Noise level of timesteps t [B] (int64) relative to the signal: sqrt((1 - abar) / abar)  [B]."""

    def add_noise(self, z: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """z_t [B,C,h,w], scaled as `denoise` expects it."""

    def denoise(self, z_t: Tensor, t: Tensor, conditions: Sequence[Condition], cameras: Cameras | None,
                beside: Tensor | None = None) -> list[Tensor]:
        """The predicted z0 [B,C,h,w] for each of the conditions, evaluated in one batch.

        beside  as encode_image returned it

        For every kind of model the residual (z - z0) / sigma(t) is eps_hat - noise: the direction of score
        distillation. Raises DistillError for a batch that is no multiple of `views`.
        """

    def release(self) -> None:
        """Called at the end of a run: removes hooks and patches from shared networks and frees their memory."""


class PlainPrior:
    """Defaults for priors whose unconditional input is a text, that train nothing, and that have nothing to
    release."""

    is_adaptable = False
    is_tunable = False
    is_learning = False
    has_text_negatives = True
    trained_on = TrainedOn()

    def encode_negatives(self, texts: Sequence[str]) -> Condition:
        return self.encode_prompts(texts)

    def release(self) -> None:
        return None


def draw_timesteps(prior: Prior, batch: int, low: int, high: int, generator: torch.Generator) -> Tensor:
    """Timesteps [B] int64 in low..high, both included. Views that the prior denoises jointly share one."""
    t = torch.randint(low, high + 1, (-(-batch // prior.views),), generator=generator)
    return t.repeat_interleave(prior.views)[:batch]


# attach(views) -> a context in which one call of the network runs with the adapter.
# views [N] int64: the view of each row of the network's batch, -1 for rows without a view.
Attach = Callable[[Tensor], AbstractContextManager]


class AdaptablePrior(Prior, Protocol):
    """A prior whose network can run with an adapter, such as LoRA.

    network     the network, frozen
    prediction  its parametrisation, one of kernels.distill.prediction.PREDICTIONS
    """

    network: nn.Module
    prediction: str

    def adapted(self, attach: Attach) -> AbstractContextManager:
        """A context in which `denoise` makes every call of the network within attach(views)."""

    def private(self) -> "AdaptablePrior":
        """A prior whose network no other code moves or patches during training. `self` if that is already true."""


class TunablePrior(Prior, Protocol):
    """A prior with trainable weights.

    adapter  the module with these weights; before training, the predictions are those of the base prior
    """

    adapter: nn.Module

    def error(self, z: Encoded, noise: Tensor, t: Tensor, condition: Condition, cameras: Cameras | None,
              drops_camera: bool = False) -> Tensor:
        """The mean squared error of the network's prediction for z_t: a scalar, differentiable in the adapter.

        noise         [B,C,h,w]
        drops_camera  the adapter gets no camera condition, for training with classifier-free guidance
        """


class LearningPrior(TunablePrior, Protocol):
    """A tunable prior that creates its training data from renderings."""

    def learn(self, encode: Callable[[], Encoded], cameras: Cameras, read: Callable[[Cameras], Sequence[Condition]],
              step: int, total: int, streams: Streams) -> Tensor:
        """One training step. Returns the training error before the step.

        encode  returns the current renderings of `cameras` in the space of the prior, without gradients. Most steps do
                not call it
        read    returns the conditions of cameras: the negative condition, and the text condition of each view
        """

    def state_dict(self) -> dict[str, Tensor]:
        """The weights, the state of their optimiser, and the training data."""

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None: ...


class PriorRecipe(Protocol):
    """The value of a PRIOR wire: how to load a prior. Hashable, so that one model is loaded once per run.

    image  the only kind of image (nodes.core.picture) that the prior accepts; "" for priors of rgb, which accept every
           kind without a depth channel
    """

    image: str

    def load(self, priors: "LoadedPriors") -> Prior:
        """Loads the prior on priors.device. A recipe that wraps another recipe shares its network by calling
        priors(other)."""


class LoadedPriors:
    """The priors of a run by recipe, each loaded once and shared by all losses."""

    def __init__(self, device: torch.device):
        self.device = device
        self._priors: dict[Any, Prior] = {}

    def __call__(self, recipe: PriorRecipe) -> Prior:
        if recipe not in self._priors:
            self._priors[recipe] = recipe.load(self)
        return self._priors[recipe]

    def release(self) -> None:
        """Releases all priors. Called at the end of a run, also after an error."""
        priors, self._priors = list(self._priors.values()), {}
        for prior in priors:
            prior.release()
