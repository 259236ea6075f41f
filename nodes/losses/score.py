"""The base of score distillation losses: noised renderings, the text conditions of each view, and guidance."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Protocol

import torch
from torch import Tensor

from ...kernels.distill.dreamtime import falling_timestep, importance
from ...kernels.distill.guidance import guide, limit, perp_negative, threshold
from ...kernels.distill.sds import surrogate
from ...kernels.distill.weighting import weight
from ...kernels.upload import upload
from ..comfy import io, scheduled
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.loss import Look, RunContext, Term
from ..core.picture import IMAGES, picture
from ..core.prior import Condition, Encoded, Prior, PriorRecipe, draw_timesteps
from ..core.prompt import Prompt
from ..core.schedule import Schedule
from .score_noise import draw_noise
from .score_options import FALLING, ScoreOptions


class ScoreRecipe(Protocol):
    """The fields that every score distillation loss has.

    prompt        with interpolated views, Perp-Neg combines predictions for two positive and two negative texts
    guidance      classifier-free guidance scale in the standard form of kernels.distill.guidance.guide
    t_min, t_max  range of timesteps as fractions of the prior's; drawn uniformly, both ends included
    image         the image of the rendering that the prior receives, one of nodes.core.picture.IMAGES
    weight        of the term, which is a sum over elements per view
    options       what all of these losses have
    """

    prior: PriorRecipe
    prompt: Prompt
    guidance: Schedule
    t_min: Schedule
    t_max: Schedule
    image: str
    weight: Schedule
    options: ScoreOptions


@dataclass
class Noised:
    """Renderings in the space of the prior, with noise.

    picture  its clean part is differentiable in the rendering
    t        [B] timesteps
    noise    [B,C,h,w]
    z_t      [B,C,h,w] in the scaling of the prior, detached
    """

    picture: Encoded
    t: Tensor
    noise: Tensor
    z_t: Tensor


class ScoreLoss:
    """A score distillation loss during one run: loads the prior, encodes the prompts, and denoises noised renderings
    with guidance. `title` begins its errors."""

    title = "Score loss"
    has_published_guidance = False  # whether TrainedOn.guidance holds for this loss

    def __init__(self, recipe: ScoreRecipe, context: RunContext):
        self.recipe = recipe
        self.prior: Prior = context.priors(recipe.prior)
        self.prompt = recipe.prompt.for_words(self.prior.trained_on.view_words)
        self._rows: dict[str, Condition] = {}
        self._negative: Condition | None = None
        self._importance: Tensor | None = None  # of each timestep, for those that fall
        # All texts at once and before the first step, so that a large text encoder is dropped before the denoising
        # network is loaded.
        self._encode(list(self.prompt.all_texts()))

    def differences(self, cameras: Cameras, side: int, total: int) -> list[str]:
        """See WiredLoss."""
        guidance = self.recipe.guidance.at(0, total) if self.has_published_guidance else None
        name = getattr(self.prior, "name", type(self.prior).__name__)
        return self.prior.trained_on.differences(name, cameras, side, self.prompt, guidance)

    def _noised(self, look: Look) -> Noised:
        """The renderings with noise, at timesteps as the options say."""
        options = self.recipe.options
        shown = self.prior.encode_image(picture(look.rendering, look.cameras, self.recipe.image))
        clean = shown.clean
        t = upload(self._timesteps(len(clean), look), clean.device)
        noise = upload(draw_noise(look, options.noise, clean.shape, options.renewal), clean.device, clean.dtype)
        return Noised(shown, t, noise, self.prior.add_noise(clean.detach(), noise, t))

    def _guided(self, shown: Noised, cameras: Cameras, scale: float) -> tuple[Tensor, Tensor]:
        """z0 with guidance, and z0 for the positive condition alone."""
        prompt, z_t, t, beside = self.prompt, shown.z_t, shown.t, shown.picture.beside
        negative = self._negatives(len(z_t))
        if not prompt.is_interpolated:
            conditions = [negative, self._encode(prompt.of_cameras(cameras))]
            unconditional, positive = self.prior.denoise(z_t, t, conditions, cameras, beside)
            return self._thresholded(guide(unconditional, positive, scale)), positive
        views = prompt.guidance_of_cameras(cameras)
        first, second = (self._encode(list(texts)) for texts in zip(*(view.positive for view in views)))
        mixture = first.lerp(second, torch.tensor([view.share for view in views]))
        away = [self._encode(list(texts)) for texts in zip(*(view.negatives for view in views))]
        unconditional, positive, *negatives = self.prior.denoise(z_t, t, [negative, mixture, *away], cameras, beside)
        weights = upload(torch.tensor([view.weights for view in views]), z_t.device, z_t.dtype)
        return self._thresholded(perp_negative(unconditional, positive, negatives, weights, scale)), positive

    def _thresholded(self, z0: Tensor) -> Tensor:
        share = self.recipe.options.threshold
        return threshold(z0, share) if share else z0

    def _sigma_before(self, t: Tensor) -> Tensor:
        """The noise levels [B] of the timesteps before t; at the first timestep, a little below its own."""
        sigma = self.prior.sigma((t - 1).clamp_min(0))
        return torch.where(t > 0, sigma, 0.5 * sigma)

    def _weight(self, t: Tensor, weighting: str) -> Tensor:
        """w(t) [B]."""
        return weight(self.prior.sigma(t), weighting, self._sigma_before(t))

    def _negatives(self, batch: int) -> Condition:
        """The negative condition of guidance, encoded once per run."""
        if self.prior.has_text_negatives:
            return self._encode([self.prompt.negative] * batch)
        if self._negative is None:
            self._negative = self.prior.encode_negatives([self.prompt.negative])
        return self._negative.take(torch.zeros(batch, dtype=torch.long))

    def _term(self, shown: Noised, gradient: Tensor, look: Look, log: Mapping[str, Tensor] = {}) -> Term:
        """The loss whose gradient with respect to the clean images is `gradient`, limited as the options say, times the
        weight at the step. Elements that are not finite become 0."""
        options = self.recipe.options
        gradient = limit(torch.nan_to_num(gradient), look.at(options.clamp_value), look.at(options.clamp_norm))
        value = surrogate(shown.picture.clean, gradient) * look.at(self.recipe.weight)
        return Term(value, {"gradient": gradient.norm() / len(gradient) ** 0.5, "timestep": shown.t.float().mean(),
                            **log})

    def _timesteps(self, batch: int, look: Look) -> Tensor:
        """[B] int64; views that the prior denoises jointly share one."""
        last = self.prior.timesteps - 1
        low = min(max(int(look.at(self.recipe.t_min) * self.prior.timesteps), 0), last)
        high = min(int(look.at(self.recipe.t_max) * self.prior.timesteps), last)
        if high < low:
            raise DistillError(f"{self.title}: at step {look.step} the largest timestep ({high}) is below the "
                               f'smallest ({low}). Raise "t_max" or lower "t_min".')
        if self.recipe.options.timesteps == FALLING:
            if self._importance is None:
                self._importance = importance(self.prior.sigma(torch.arange(last + 1, device=self.prior.device)))
            progress = look.step / max(look.total - 1, 1)
            return torch.full((batch,), falling_timestep(self._importance, progress, low, high))
        return draw_timesteps(self.prior, batch, low, high, look.streams("timestep"))

    def _encode(self, texts: list[str]) -> Condition | None:
        """The conditions of these texts, one row each; None for an empty list. Each text is encoded once per run."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if fresh:
            encoded = self.prior.encode_prompts(fresh)
            self._rows.update({text: encoded.take(torch.tensor([i])) for i, text in enumerate(fresh)})
        return self._rows[texts[0]].join([self._rows[text] for text in texts]) if texts else None


def timestep_inputs(low: float, high: float) -> list:
    """The widgets of the range of timesteps."""
    return [scheduled("t_min", low, "Smallest timestep as a fraction of the prior's.", min=0.0, max=1.0, step=0.01),
            scheduled("t_max", high, "Largest timestep as a fraction of the prior's.", min=0.0, max=1.0, step=0.01)]


def image_input():
    return io.Combo.Input("image", options=list(IMAGES), default="rgb", tooltip="Image of the rendering that the prior "
                          "receives: colours, world or camera normals, the input of Normal-Depth Prior or Albedo "
                          "Prior, or the latents of a scene with a Latent material.")
