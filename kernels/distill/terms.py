"""Score distillation as one table: a method is a weighted sum of predictions of one denoiser.

    gradient = w(t) sum_k c_k eps_k,        eps_k = (x_k - z0_k) / sigma_k

Each prediction has a condition (the text of the view, the negative text, ...) and a place: the noisy image that the
denoiser is given. x is in the variance-exploding form, x = z + sigma * noise. METHODS has a row for each published
method.

    s        the guidance scale in the standard form; a: the annealing of the negative text; t: the share of timesteps
    noise    the noise in x: as a prediction, its z0 is the clean image itself
    nearby   another noise level of the same image: a higher one with the same noise in ASD, a lower one on the path of
             the inversion in ISM
    source   another image with its own text, and the same noise at the same level
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping

from torch import Tensor

from .formula import (
    EMPTY,
    HERE,
    NEARBY,
    NEGATIVE,
    NOISE,
    SOURCE,
    TEXT,
    Coefficient,
    FormulaTerm,
    Prediction,
    parse,
    values,
)

__all__ = ["EMPTY", "HERE", "NEARBY", "NEGATIVE", "NOISE", "SOURCE", "TEXT", "Prediction"]

FRESH, INVERTED, PREDICTED = "fresh", "DDIM inversion", "predicted"
SMALL = 1e-6  # of a sum of coefficients, which is 0 but for rounding


@dataclass(frozen=True)
class Method:
    """A row: the sum, the weight w(t) (kernels.distill.weighting), where the noise comes from, and the paper.

    noise  "fresh"; "DDIM inversion": what the inversion of the image finds; "predicted": what the model predicts for
           the text at fresh noise
    """

    formula: str
    weighting: str
    noise: str
    source: str


METHODS: Mapping[str, Method] = {
    "sds": Method("s text + (1 - s) negative - noise", "sds", FRESH, "DreamFusion, Poole et al. 2022, eq. 3"),
    "csd": Method("text - (1 - a) empty - a negative", "uniform", FRESH, "Yu et al. 2023"),
    "nfsd": Method("s text + (1 - s) empty - (t >= 0.2) negative", "sds", FRESH, "Katzir et al. 2023"),
    # The same noise twice, so that x cancels in each place.
    "dds": Method("s text + (1 - s) negative - noise - s text @source - (1 - s) negative @source + noise @source",
                  "sds", FRESH, "Hertz et al. 2023"),
    "asd": Method("s text + (1 - s) negative - text @nearby", "sds", FRESH, "ScaleDreamer, Ma et al. 2024"),
    "ism": Method("s text + (1 - s) empty - empty @nearby", "x0", INVERTED, "LucidDreamer, Liang et al. 2023"),
    "sdi": Method("s text + (1 - s) negative - noise", "x0", INVERTED, "Lukoianov et al. 2024"),
    "hifa": Method("s text + (1 - s) negative - noise", "sds", FRESH, "Zhu et al. 2023, with the term on pixels"),
    "rfds": Method("s text + (1 - s) negative - noise", "flow", FRESH, "Yang et al. 2024"),
    "rfds-rev": Method("s text + (1 - s) negative - noise", "flow", PREDICTED, "Yang et al. 2024"),
}


@dataclass(frozen=True)
class Place:
    """A noisy image: x [B,C,h,w] = z + sigma * noise, sigma [B] > 0."""

    x: Tensor
    sigma: Tensor


Terms = Mapping[Prediction, Coefficient]
Finish = Callable[[Tensor], Tensor]  # the guided z0 -> the z0 that is used, e.g. clamped


def terms(method: str | tuple[FormulaTerm, ...], guidance: float, t: Tensor, annealing: float = 0.0) -> Terms:
    """The row of METHODS, or a parsed formula, for a batch. Predictions whose coefficient is 0 are left out, so that
    nothing is computed for them.

    guidance   s, standard form
    t          [B] timesteps as shares of the model's, in [0,1]
    annealing  a in [0,1]: how far CSD's second text has moved from the empty one to the negative one

    Raises ValueError for a method without a row.
    """
    if isinstance(method, str) and method not in METHODS:
        raise ValueError(f'method must be one of {", ".join(METHODS)}, got "{method}"')
    formula = parse(METHODS[method].formula) if isinstance(method, str) else method
    return values(formula, {"s": guidance, "a": annealing, "t": t})


def score_gradient(terms: Terms, answers: Mapping[Prediction, Tensor], places: Mapping[str, Place],
                   weight: Tensor, finish: Finish | None = None) -> Tensor:
    """w(t) sum_k c_k eps_k, the gradient with respect to the clean image: [B,C,h,w].

    answers  z0 [B,C,h,w] of each prediction in `terms`; of the condition "noise" it is the clean image
    places   the noisy image of each place
    weight   w(t) [B]
    finish   is given the guided z0 of "here", the sum of its predictions but for the noise, where there is a noise

    Within a place the sum is computed from the differences between the z0: where the coefficients sum to 0, as in SDS,
    x cancels and no digits are lost at low noise. Differentiable in the answers.
    """
    total: Tensor | float = 0.0
    for name in dict.fromkeys(key.place for key in terms):
        x, sigma = places[name].x, places[name].sigma
        noise = Prediction(NOISE, name)
        keys = [key for key in terms if key.place == name and key != noise]
        amount = -terms[noise] if noise in terms else 0.0
        if not keys:
            part = amount * (answers[noise] - x)
        else:
            base = answers[keys[-1]]
            rest = sum((terms[key] for key in keys), -amount)
            offset = sum(_rows(terms[key], x) * (answers[key] - base) for key in keys[:-1])
            if noise in terms and isinstance(amount, float):
                guided = base + (offset if amount == 1 else offset / amount)
                part = _times(amount, answers[noise] - (finish(guided) if finish and name == HERE else guided))
            else:
                part = _rows(amount, x) * (answers[noise] - base) - offset if noise in terms else -offset
            if isinstance(rest, Tensor) or abs(rest) > SMALL:
                part = part + _rows(rest, x) * (x - base)
        total = total + _rows(weight / sigma, x) * part
    return total


def guided(terms: Terms, answers: Mapping[Prediction, Tensor]) -> Tensor:
    """The sum of the predictions "here" but for the noise, of z0: [B,C,h,w]."""
    keys = [key for key in terms if key.place == HERE and key.condition != NOISE]
    return sum(_rows(terms[key], answers[key]) * answers[key] for key in keys)


def _times(number: float, values: Tensor) -> Tensor:
    return values if number == 1 else number * values


def _rows(values: Coefficient, like: Tensor) -> Coefficient:
    """A number as it is; [B] as [B,1,1,1]."""
    return values.to(like).reshape(-1, *[1] * (like.ndim - 1)) if isinstance(values, Tensor) else values


def predicted_noise(x: Tensor, z0: Tensor, sigma: Tensor) -> Tensor:
    """eps [B,C,h,w] of x for sigma [B]. Taking it as the noise is the first step of RFDS-Rev (Yang et al. 2024):
    noise + (1 - s) (v_hat + z - noise), where the flow's s is sigma / (1 + sigma)."""
    return (x - z0) / sigma.reshape(-1, *[1] * (x.ndim - 1))
