"""A formula of score distillation during one run: its noisy images, its predictions, and their sum."""
from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...kernels.distill.guidance import guide, perp_negative, rescale
from ...kernels.distill.inversion import ddim_step, invert
from ...kernels.distill.sds import surrogate
from ...kernels.distill.terms import (
    EMPTY,
    HERE,
    INVERTED,
    METHODS,
    NEARBY,
    NEGATIVE,
    NOISE,
    PREDICTED,
    SOURCE,
    TEXT,
    Place,
    Prediction,
    guided,
    predicted_noise,
    score_gradient,
    terms,
)
from ...kernels.upload import upload
from ..core.loss import Look, RunContext, Stateless, Term
from ..core.picture import IMAGES, picture
from ..core.prior import Condition, Encoded
from ..core.prompt import Prompt
from .score import Noised, ScoreLoss

if TYPE_CHECKING:
    from .score_terms import ScoreTerms

TITLE = "Score Terms Loss"
OF_METHOD = "of the method"


@dataclass
class Spot:
    """A noisy image as the prior takes it: the clean image, its noise and its timesteps; and what is known of it."""

    clean: Tensor
    noise: Tensor
    t: Tensor
    beside: Tensor | None
    prompt: Prompt
    known: dict[str, Tensor] = field(default_factory=dict)


class PreparedScoreTerms(ScoreLoss, Stateless):
    title = TITLE

    def __init__(self, recipe: "ScoreTerms", context: RunContext):
        super().__init__(recipe, context)
        self.formula = recipe.parsed
        method = METHODS[recipe.method]
        self.weighting = method.weighting if recipe.weighting == OF_METHOD else recipe.weighting
        self.found = method.noise if recipe.found == OF_METHOD else recipe.found
        self.calls = 0  # predictions of one picture at this step
        texts = [term.prediction.condition.strip('"') for term in self.formula if term.prediction.condition[0] == '"']
        self._encode(["", *texts, *(recipe.source.all_texts() if recipe.source else ())])

    def __call__(self, look: Look) -> Term:
        recipe, shown, self.calls = self.recipe, self._noised(look), 0
        with torch.set_grad_enabled(recipe.jacobian):
            clean = shown.picture.clean if recipe.jacobian else shown.picture.clean.detach()
            spots = self._spots(shown, clean, look)
            share = spots[HERE].t.float() / self.prior.timesteps
            row = terms(self.formula, look.at(recipe.guidance), share, look.at(recipe.annealing))
            answers = self._answers(row, spots, look)
            places = {name: Place(spot.clean + _column(self.prior.sigma(spot.t)) * spot.noise, self.prior.sigma(spot.t))
                      for name, spot in spots.items()}
            weight = self._weight(shown.t, self.weighting)
            if recipe.jacobian:
                residual = score_gradient(row, answers, places, weight.sqrt())
                value = 0.5 * residual.square().sum() / len(residual) * look.at(recipe.weight)
                return Term(value, {"loss": value.detach(), "timestep": shown.t.float().mean()})
            gradient = score_gradient(row, answers, places, weight, lambda z0: self._finished(z0, answers))
        term = self._term(shown, gradient, look, {"predictions": float(self.calls)})
        return self._with_pixels(term, row, answers, shown, look) if recipe.method == "hifa" else term

    def _finished(self, z0: Tensor, answers: dict[Prediction, Tensor]) -> Tensor:
        """The guided z0 as the widgets change it."""
        positive = answers.get(Prediction(TEXT))
        if self.recipe.rescaling and positive is not None:
            z0 = rescale(z0, positive, self.recipe.rescaling, self.prior.views)
        z0 = self._thresholded(z0)
        return z0.clamp(-1, 1) if self.recipe.clamp else z0

    def _spots(self, shown: Noised, clean: Tensor, look: Look) -> dict[str, Spot]:
        """The noisy images of the formula."""
        here = Spot(clean, shown.noise, shown.t, shown.picture.beside, self.recipe.prompt)
        spots = {HERE: here}
        if NEARBY in self.recipe.places:
            spots[NEARBY] = self._path(here, look) if self.found == INVERTED else self._above(here, look)
        elif self.found == INVERTED:
            here.noise = self._inverted(here, look)
        if self.found == PREDICTED:
            z0 = self._ask(here, [TEXT], look)[TEXT]
            sigma = self.prior.sigma(here.t)
            here.noise = predicted_noise(clean + _column(sigma) * here.noise, z0, sigma).detach()
        if SOURCE in self.recipe.places:
            before = self._source(shown, look)
            spots[SOURCE] = Spot(before.clean, here.noise, here.t, before.beside, self.recipe.source)
        return spots

    def _above(self, here: Spot, look: Look) -> Spot:
        """The same noise at a larger timestep (ASD)."""
        low = int(look.at(self.recipe.t_min) * self.prior.timesteps)
        groups = -(-len(here.t) // self.prior.views)
        share = upload(torch.rand(groups, generator=look.streams("interval")), here.t.device)
        share = share.repeat_interleave(self.prior.views)[:len(here.t)]
        step = (look.at(self.recipe.interval) * (here.t - low).clamp_min(0) * share).long().clamp_min(1)
        return replace(here, t=(here.t + step).clamp(max=self.prior.timesteps - 1), known={})

    def _path(self, here: Spot, look: Look) -> Spot:
        """A smaller timestep on the path of the inversion with the empty text, and `here` one step further (ISM)."""
        prior, steps = self.prior, self.recipe.steps
        down = max(int(look.at(self.recipe.interval) * prior.timesteps), 1)
        low = (here.t - down).clamp_min(steps + 1)
        here.t = torch.maximum(here.t, low + 1)
        x = self._invert(here, low, lambda spot: self._ask(spot, [EMPTY], look)[EMPTY])
        nearby = replace(here, t=low, noise=(x - here.clean) / _column(prior.sigma(low)))
        nearby.known = self._ask(nearby, [EMPTY], look)
        sigma = prior.sigma(here.t)
        x = ddim_step(x, nearby.known[EMPTY], prior.sigma(low), sigma)
        here.noise = (x - here.clean) / _column(sigma)
        return nearby

    def _inverted(self, here: Spot, look: Look) -> Tensor:
        """The noise that DDIM inversion finds, to a timestep a little above its own (SDI)."""
        prior, recipe = self.prior, self.recipe
        share = float(torch.rand((), generator=look.streams("interval")))
        to = (here.t + int(share * prior.timesteps / recipe.steps)).clamp(recipe.steps + 1, prior.timesteps - 1)

        def ask(spot: Spot) -> Tensor:
            found = self._ask(spot, [NEGATIVE, TEXT], look)
            return guide(found[NEGATIVE], found[TEXT], recipe.inversion_guidance)

        x = self._invert(here, to, ask, recipe.eta, look)
        return ((x - here.clean) / _column(prior.sigma(to))).detach()

    def _invert(self, here: Spot, to: Tensor, ask, eta: float = 0.0, look: Look | None = None) -> Tensor:
        """x at timesteps `to` [B], by DDIM inversion in equal steps."""
        steps = [to * number // self.recipe.steps for number in range(self.recipe.steps + 1)]
        at = iter(steps)

        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            return ask(replace(here, t=next(at), noise=(x - here.clean) / _column(sigma), known={}))

        noises = [upload(torch.randn(here.clean.shape, generator=look.streams("inversion")), here.clean.device,
                         here.clean.dtype) for _ in steps[1:]] if eta else []
        return invert(here.clean.detach(), [self.prior.sigma(t) for t in steps], denoise, eta, noises)

    @torch.no_grad()
    def _source(self, shown: Noised, look: Look) -> Encoded:
        """The scene as the stage began, from the same cameras and over the same background."""
        before = look.initial().render(look.cameras, None, self._wanted_of_source, step=look.step,
                                       streams=look.streams.within("source"), shading="albedo")
        if self.recipe.image == "rgb" and look.rendering.background is not None:
            behind = look.rendering.background.detach() - before.background
            before.rgb = before.rgb + (1 - before.opacity) * behind
        return self.prior.encode_image(picture(before, look.cameras, self.recipe.image))

    @property
    def _wanted_of_source(self) -> frozenset[str]:
        return frozenset({"background", "opacity", *IMAGES[self.recipe.image].fields})

    def _answers(self, row, spots: dict[str, Spot], look: Look) -> dict[Prediction, Tensor]:
        """z0 of each prediction, with one call of the prior for each place."""
        answers = {}
        for name, spot in spots.items():
            wanted = [key.condition for key in row if key.place == name]
            asked = [condition for condition in wanted if condition != NOISE and condition not in spot.known]
            found = {**spot.known, NOISE: spot.clean, **(self._ask(spot, asked, look) if asked else {})}
            answers.update({Prediction(condition, name): found[condition] for condition in wanted})
        return answers

    def _ask(self, spot: Spot, conditions: Sequence[str], look: Look) -> dict[str, Tensor]:
        """z0 for each condition. For interpolated views "text" is Perp-Neg's combination at scale 1."""
        prompt, batch = spot.prompt, len(spot.clean)
        z_t = self.prior.add_noise(spot.clean, spot.noise, spot.t)
        order = sorted(conditions, key=lambda condition: condition == TEXT)  # the negative one first, as in SDS
        perpendicular = TEXT in order and prompt.is_interpolated
        if not perpendicular:
            rows = [self._condition(condition, prompt, look, batch) for condition in order]
            self.calls += len(rows)
            return dict(zip(order, self.prior.denoise(z_t, spot.t, rows, look.cameras, spot.beside)))
        views = prompt.guidance_of_cameras(look.cameras)
        first, second = (self._encode(list(texts)) for texts in zip(*(view.positive for view in views)))
        mixture = first.lerp(second, torch.tensor([view.share for view in views]))
        away = [self._encode(list(texts)) for texts in zip(*(view.negatives for view in views))]
        others = list(dict.fromkeys([NEGATIVE, *order[:-1]]))
        rows = [*(self._condition(condition, prompt, look, batch) for condition in others), mixture, *away]
        self.calls += len(rows)
        *found, positive, one, two = self.prior.denoise(z_t, spot.t, rows, look.cameras, spot.beside)
        weights = upload(torch.tensor([view.weights for view in views]), z_t.device, z_t.dtype)
        return {**dict(zip(others, found)), TEXT: perp_negative(found[0], positive, [one, two], weights, 1.0)}

    def _condition(self, condition: str, prompt: Prompt, look: Look, batch: int) -> Condition:
        if condition == TEXT:
            return self._encode(prompt.of_cameras(look.cameras))
        if condition in (NEGATIVE, EMPTY) and not self.prior.has_text_negatives:
            return self._negatives(batch)
        text = {NEGATIVE: prompt.negative, EMPTY: ""}.get(condition, condition.strip('"'))
        return self._encode([text] * batch)

    def _with_pixels(self, term: Term, row, answers: dict[Prediction, Tensor], shown: Noised, look: Look) -> Term:
        """Adds HiFA's term: w(t) (x - x_hat) / sigma on the pixels x of the rendering, x_hat the decoded z0."""
        x = look.rendering.rgb
        with torch.no_grad():
            decoded = self.prior.decode_image(guided(row, answers)).permute(0, 3, 1, 2)
            decoded = F.interpolate(decoded, x.shape[1:3], mode="bilinear", antialias=True, align_corners=False)
            factor = _column(self._weight(shown.t, self.weighting) / self.prior.sigma(shown.t))
            gradient = torch.nan_to_num(factor * (x - decoded.permute(0, 2, 3, 1)))
        value = surrogate(x, gradient) * look.at(self.recipe.pixels) * look.at(self.recipe.weight)
        return Term(term.value + value, term.log)


def _column(values: Tensor) -> Tensor:
    """[B] as [B,1,1,1]."""
    return values.reshape(-1, 1, 1, 1)
