"""Score distillation as one table: a method is a weighted sum of predictions of one denoiser.

    gradient = w(t) sum_k c_k eps_k,        eps_k = (x_k - z0_k) / sigma_k

Each prediction has a condition (the text of the view, the negative text, ...) and a place: the noisy image that the
denoiser is given. x is in the variance-exploding form, x = z + sigma * noise. METHODS has a row for each published
method:

    method  sum of predictions                                                       source
    sds     s text + (1 - s) negative - noise                                        Poole et al. 2022, DreamFusion
    csd     text - (1 - a) empty - a negative                                        Yu et al. 2023, CSD
    nfsd    s text + (1 - s) empty - [t >= 0.2] negative                             Katzir et al. 2023, NFSD
    dds     sds of the picture - sds of a source picture with its own text           Hertz et al. 2023, DDS
    asd     s text + (1 - s) negative - text nearby                                  Ma et al. 2024, ScaleDreamer
    ism     s text + (1 - s) empty - empty nearby                                    Liang et al. 2023, LucidDreamer
    sdi     s text + (1 - s) negative - noise, which DDIM inversion finds            Lukoianov et al. 2024, SDI

s is the guidance scale in the standard form, a the annealing of the negative text. "noise" is the noise in x: as a
prediction, its z0 is the clean image itself. "nearby" is another noise level of the same image: a higher one with the
same noise in ASD, a lower one on the path of the inversion in ISM. RFDS (Yang et al. 2024) is the row sds with w = 1 +
sigma.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Mapping

from torch import Tensor

HERE, NEARBY, SOURCE = "here", "nearby", "source"
TEXT, NEGATIVE, EMPTY, NOISE = "text", "negative", "empty", "noise"

LATE = 0.2  # NFSD: the share of the timesteps below which the negative prediction is left out


@dataclass(frozen=True)
class Prediction:
    """One prediction: its condition, and the noisy image that the denoiser is given."""

    condition: str
    place: str = HERE


@dataclass(frozen=True)
class Place:
    """A noisy image: x [B,C,h,w] = z + sigma * noise, sigma [B] > 0."""

    x: Tensor
    sigma: Tensor


Coefficient = float | Tensor  # a number, or [B] where it depends on the timestep
Terms = Mapping[Prediction, Coefficient]

# Rows as functions of the guidance scale s, the annealing a in [0,1], and the timesteps t [B] as shares of the model's.
METHODS: Mapping[str, Callable[[float, float, Tensor], dict[Prediction, Coefficient]]] = {
    "sds": lambda s, a, t: {Prediction(TEXT): s, Prediction(NEGATIVE): 1 - s, Prediction(NOISE): -1.0},
    "csd": lambda s, a, t: {Prediction(TEXT): 1.0, Prediction(EMPTY): a - 1, Prediction(NEGATIVE): -a},
    "nfsd": lambda s, a, t: {Prediction(TEXT): s, Prediction(EMPTY): 1 - s, Prediction(NEGATIVE): -(t >= LATE).to(t)},
    # The same noise twice, so that x cancels in each place.
    "dds": lambda s, a, t: {Prediction(TEXT): s, Prediction(NEGATIVE): 1 - s, Prediction(NOISE): -1.0,
                            Prediction(TEXT, SOURCE): -s, Prediction(NEGATIVE, SOURCE): s - 1,
                            Prediction(NOISE, SOURCE): 1.0},
    "asd": lambda s, a, t: {Prediction(TEXT): s, Prediction(NEGATIVE): 1 - s, Prediction(TEXT, NEARBY): -1.0},
    "ism": lambda s, a, t: {Prediction(TEXT): s, Prediction(EMPTY): 1 - s, Prediction(EMPTY, NEARBY): -1.0},
    "sdi": lambda s, a, t: {Prediction(TEXT): s, Prediction(NEGATIVE): 1 - s, Prediction(NOISE): -1.0},
}


def terms(method: str, guidance: float, t: Tensor, annealing: float = 0.0) -> Terms:
    """The row of METHODS for a batch. Predictions whose coefficient is 0 are left out, so that nothing is computed for
    them.

    guidance   s, standard form
    t          [B] timesteps as shares of the model's, in [0,1]
    annealing  a in [0,1]: how far CSD's second text has moved from the empty one to the negative one

    Raises ValueError for a method without a row.
    """
    if method not in METHODS:
        raise ValueError(f'method must be one of {", ".join(METHODS)}, got "{method}"')
    return {key: c for key, c in METHODS[method](guidance, annealing, t).items() if isinstance(c, Tensor) or c}


def score_gradient(terms: Terms, answers: Mapping[Prediction, Tensor], places: Mapping[str, Place],
                   weight: Tensor) -> Tensor:
    """w(t) sum_k c_k eps_k, the gradient with respect to the clean image: [B,C,h,w], detached.

    answers  z0 [B,C,h,w] of each prediction in `terms`; of the condition "noise" it is the clean image
    places   the noisy image of each place
    weight   w(t) [B]

    Within a place, c_1 (x - z0_1) + ... is computed from the differences between the z0: where the coefficients sum to
    0, as in SDS, x cancels and no digits are lost at low noise.
    """
    total: Tensor | float = 0.0
    for name in dict.fromkeys(key.place for key in terms):
        x, sigma = places[name].x, places[name].sigma
        *others, last = (key for key in terms if key.place == name)
        rest = sum((_rows(terms[key], x) for key in others), _rows(terms[last], x))
        part = sum((_rows(terms[key], x) * (answers[last] - answers[key]) for key in others),
                   rest * (x - answers[last]))
        total = total + part / _rows(sigma, x)
    return (_rows(weight, x) * total).detach()


def _rows(values: Coefficient, like: Tensor) -> Coefficient:
    """A number as it is; [B] as [B,1,1,1]."""
    return values.to(like).reshape(-1, *[1] * (like.ndim - 1)) if isinstance(values, Tensor) else values
