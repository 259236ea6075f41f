"""Options that every score distillation loss has."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..comfy import io, scheduled
from ..core.schedule import Schedule
from .score_noise import FRESH, NOISES, ON_OBJECT, RENEWAL

UNIFORM, FALLING = "uniform", "DreamTime"
TIMESTEPS = (UNIFORM, FALLING)

FOLDED = ("noise", "renewal", "timesteps", "threshold")  # the widgets of these options that are folded in


@dataclass(frozen=True)
class ScoreOptions:
    """noise      one of NOISES; renewal: of the noise on the object, share at each step
    timesteps     "uniform": drawn between t_min and t_max; "DreamTime": falls from t_max to t_min during the run, see
                  kernels.distill.dreamtime
    clamp_value   largest absolute value of an element of the gradient, 0: no limit
    clamp_norm    largest root mean square of a view's gradient, 0: no limit
    threshold     dynamic thresholding of the guided prediction, 0: off; published 0.995
    """

    noise: str = FRESH
    renewal: float = RENEWAL
    timesteps: str = UNIFORM
    clamp_value: Schedule = Schedule.of(0.0)
    clamp_norm: Schedule = Schedule.of(0.0)
    threshold: float = 0.0

    @classmethod
    def of(cls, noise: str = FRESH, renewal: float = RENEWAL, timesteps: str = UNIFORM, clamp_value: Any = 0.0,
           clamp_norm: Any = 0.0, threshold: float = 0.0) -> "ScoreOptions":
        """From the values of `option_inputs`."""
        return cls(noise, renewal, timesteps, Schedule.of(clamp_value), Schedule.of(clamp_norm), threshold)

    @property
    def wanted(self) -> frozenset[str]:
        """Fields of Rendering that they need."""
        return frozenset({"depth"}) if self.noise == ON_OBJECT else frozenset()


def option_inputs() -> list:
    """Their widgets. All are optional, so that saved workflows keep their meaning."""
    return [
        io.Combo.Input("noise", options=list(NOISES), default=FRESH, optional=True,
                       tooltip="Where the noise comes from: fresh at every step; kept through the run, the same for "
                               "each picture of the batch; or on the object, so that all views see the same noise on "
                               "its surface (consistent flow distillation)."),
        io.Float.Input("renewal", default=RENEWAL, min=0.0, max=1.0, step=0.0001, optional=True,
                       tooltip="Share of the noise on the object that is renewed at each step; published: 0.0001."),
        io.Combo.Input("timesteps", options=list(TIMESTEPS), default=UNIFORM, optional=True,
                       tooltip="uniform: drawn between t_min and t_max. DreamTime: falls from t_max to t_min during "
                               "the run and spends most steps where the content is decided."),
        _scheduled("clamp_value", "Largest absolute value of an element of the gradient. 0: no limit. Published: 2 "
                                  "rising to 8 by step 1000 (threestudio), 1.5 rising to 2 (GaussianDreamer)."),
        _scheduled("clamp_norm", "Largest root mean square of a view's gradient; a longer one is shortened. 0: no "
                                 "limit."),
        io.Float.Input("threshold", default=0.0, min=0.0, max=1.0, step=0.005, optional=True,
                       tooltip="Dynamic thresholding for pixel-space priors at a high guidance scale: predicted pixels "
                               "are clamped to this share of their absolute values and rescaled. 0: off; Imagen: "
                               "0.995."),
    ]


def _scheduled(name: str, tooltip: str):
    return scheduled(name, 0.0, tooltip, min=0.0, max=1e6, step=0.1, optional=True)
