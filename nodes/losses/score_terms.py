"""Score distillation by a formula: a row of kernels.distill.terms.METHODS, or one of the user's own."""
from __future__ import annotations

from dataclasses import dataclass

from ...kernels.distill.formula import FormulaTerm, parse
from ...kernels.distill.terms import FRESH, INVERTED, METHODS, PREDICTED, SOURCE
from ...kernels.distill.weighting import WEIGHTINGS
from ..comfy import LOSS, PRIOR, PROMPT, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Loss, RunContext
from ..core.picture import IMAGES, check_shown
from ..core.prior import PriorRecipe
from ..core.prompt import Prompt
from ..core.schedule import Schedule
from .prepared_terms import OF_METHOD, TITLE, PreparedScoreTerms
from .score import image_input, timestep_inputs
from .score_options import FOLDED, ScoreOptions, option_inputs

FOUND = (OF_METHOD, FRESH, INVERTED, PREDICTED)


@dataclass(frozen=True)
class ScoreTerms:
    """The gradient of a rendering is w(t) times a weighted sum of predictions.

    method     a row of METHODS: its formula, weighting and noise
    formula    instead of the method's, see kernels.distill.formula; "" is the method's
    guidance   s of the formula, standard form
    annealing  a of the formula: how far CSD's second text has moved from the empty one to the negative one
    weighting  w(t), one of WEIGHTINGS; "of the method"
    found      how the noise is made: as drawn ("fresh"), by "DDIM inversion", or "predicted"; "of the method"
    source     the text of the scene as the stage began, for formulas with @source
    steps, inversion_guidance, eta  of DDIM inversion; ISM inverts with the empty text alone and without noise
    interval   how far "nearby" is: for ISM a share of the timesteps, for ASD a share of t - t_min times a random number
    pixels     weight of HiFA's term on pixels; method "hifa" only
    jacobian   keeps the derivative of the predictions: descends on 1/2 w(t) |sum|^2 itself, which DreamFusion rejects
    clamp, rescaling  of the guided prediction in formulas with a noise, as in SDS
    t_min, t_max, image, weight  as in SDS
    """

    prior: PriorRecipe
    prompt: Prompt
    method: str = "sds"
    formula: str = ""
    guidance: Schedule = Schedule.of(7.5)
    annealing: Schedule = Schedule.of(0.0)
    weighting: str = OF_METHOD
    found: str = OF_METHOD
    t_min: Schedule = Schedule.of(0.02)
    t_max: Schedule = Schedule.of(0.98)
    image: str = "rgb"
    weight: Schedule = Schedule.of(1.0)
    source: Prompt | None = None
    steps: int = 10
    inversion_guidance: float = -7.5
    eta: float = 0.3
    interval: Schedule = Schedule.of(0.1)
    pixels: Schedule = Schedule.of(0.1)
    jacobian: bool = False
    clamp: bool = False
    rescaling: float = 0.0
    options: ScoreOptions = ScoreOptions()
    name: str = "score"

    def __post_init__(self):
        check_shown(self.prior, self.image, TITLE)
        if self.method == "hifa" and self.image != "rgb":
            raise DistillError(f'{TITLE}: HiFA compares colours, and "image" is "{self.image}". Set "image" to "rgb", '
                               'or choose the method sds.')
        if any(term.prediction.place == SOURCE for term in self.parsed) and self.source is None:
            raise DistillError(f'{TITLE}: the formula has predictions @source. Connect the text of the scene as it is '
                               'at the start to "source".')

    @property
    def parsed(self) -> tuple[FormulaTerm, ...]:
        try:
            return parse(self.formula.strip() or METHODS[self.method].formula)
        except ValueError as error:
            raise DistillError(f"{TITLE}: {error}.") from error

    @property
    def places(self) -> frozenset[str]:
        return frozenset(term.prediction.place for term in self.parsed)

    @property
    def wanted(self) -> frozenset[str]:
        behind = frozenset({"background"}) if SOURCE in self.places and self.image == "rgb" else frozenset()
        return frozenset({"opacity", *IMAGES[self.image].fields}) | self.options.wanted | behind

    def prepare(self, context: RunContext) -> "PreparedScoreTerms":
        return PreparedScoreTerms(self, context)


class ScoreTermsLossNode(Node):
    advanced = ("weighting", "noise_found", "image", "inversion_steps", "inversion_guidance", "eta", "jacobian",
                "clamp", "rescaling", *FOLDED)

    @classmethod
    def define_schema(cls):
        rows = "; ".join(f"{name}: {method.formula}" for name, method in METHODS.items())
        return io.Schema(
            node_id="Distill3D_ScoreTermsLoss", display_name=TITLE, category="Distill3D/losses",
            description="Score distillation by a formula, a sum of the prior's predictions: SDS, CSD, NFSD, DDS, ASD, "
                        "ISM, SDI, HiFA, RFDS, or one of your own.",
            search_aliases=["score distillation", *METHODS, "classifier score", "interval score", "delta denoising",
                            "noise-free", "lucid dreamer", "text to 3d"],
            inputs=[
                PRIOR.Input("prior", tooltip="The diffusion model that is distilled."),
                PROMPT.Input("prompt", tooltip="The prompt, from View Prompt."),
                io.Combo.Input("method", options=list(METHODS), default="sds",
                               tooltip=f"Fills formula, weighting and noise_found. {rows}."),
                io.String.Input("formula", default="", multiline=True, tooltip="Instead of the method's, e.g. s text + "
                                '(1 - s) negative - noise. Predictions: text, negative, empty, noise, or "a text of '
                                'its own"; also @nearby and @source. Coefficients: numbers, s (guidance), '
                                "a (annealing) and t (timestep, 0 to 1). Empty: the method's."),
                scheduled("guidance", 7.5, "s of the formula: the guidance scale in the standard form. Published: "
                          "sds 101, sdi, ism, nfsd and asd 7.5, rfds 100. csd does not use it.", min=0.0, max=1000.0,
                          step=0.5),
                scheduled("annealing", 0.0, "a of the formula, for csd: 0 subtracts the empty text, 1 the negative "
                          "one. Published: rising from 0 to 1 (or 0.5) during the run.", min=0.0, max=1.0, step=0.05),
                io.Combo.Input("weighting", options=[OF_METHOD, *WEIGHTINGS], default=OF_METHOD, tooltip="Weight of "
                               "each noise level, as in SDS Loss. elbo: of the variational bound; ncsn: 1 / sigma; "
                               "inverse: 1 / (1 - abar)."),
                io.Combo.Input("noise_found", options=list(FOUND), default=OF_METHOD, tooltip="How the noise is made: "
                               "as drawn (fresh); by DDIM inversion of the rendering (SDI); or predicted by the model "
                               "(RFDS-Rev)."),
                *timestep_inputs(0.02, 0.98),
                image_input(),
                scheduled("weight", 1.0, "Weight of this loss. It is a sum over elements per view, so weights of other "
                          "losses are relative to that. The weighting x0 makes it larger at high noise.", min=0.0,
                          max=1e6, step=0.01),
                PROMPT.Input("source", optional=True, tooltip="For dds: the text of the scene as it is at the start."),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
                *_inversion_inputs(),
                scheduled("pixels", 0.1, "For hifa: weight of the term on pixels, relative to the one on latents.",
                          min=0.0, max=1e6, step=0.01, optional=True),
                io.Boolean.Input("jacobian", default=False, optional=True, tooltip="Differentiate the "
                                 "predictions too: descend on the training loss of the diffusion model itself, as "
                                 "DreamFusion tried and rejected. Slow."),
                io.Boolean.Input("clamp", default=False, optional=True, tooltip="Clamp the guided "
                                 "prediction to [-1, 1], for formulas with noise and pixel-space priors."),
                io.Float.Input("rescaling", default=0.0, min=0.0, max=1.0, step=0.05, optional=True,
                               tooltip="Rescales the guided prediction to the contrast of the one for the text, for "
                                       "formulas with noise. 0: off; MVDream: 0.5."),
                *option_inputs(),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, prior, prompt, method="sds", formula="", guidance=7.5, annealing=0.0, weighting=OF_METHOD,
                noise_found=OF_METHOD, t_min=0.02, t_max=0.98, image="rgb", weight=1.0, source=None,
                losses: tuple[Loss, ...] = (), inversion_steps=10, inversion_guidance=-7.5, eta=0.3, interval=0.1,
                pixels=0.1, jacobian=False, clamp=False, rescaling=0.0, **options) -> io.NodeOutput:
        loss = ScoreTerms(prior, prompt, method, formula, Schedule.of(guidance), Schedule.of(annealing), weighting,
                          noise_found, Schedule.of(t_min), Schedule.of(t_max), image, Schedule.of(weight), source,
                          inversion_steps, inversion_guidance, eta, Schedule.of(interval), Schedule.of(pixels),
                          jacobian, clamp, rescaling, ScoreOptions.of(**options))
        return io.NodeOutput((*losses, loss))


def _inversion_inputs() -> list:
    """The widgets of DDIM inversion and of the interval."""
    return [
        io.Int.Input("inversion_steps", default=10, min=1, max=1000, optional=True, tooltip="Steps of "
                     "DDIM inversion, each a call of the prior. Published: sdi 10, ism up to 5."),
        io.Float.Input("inversion_guidance", default=-7.5, min=-1000.0, max=1000.0, step=0.5, optional=True,
                       tooltip="Guidance scale during the inversion of sdi; published: -7.5."),
        io.Float.Input("eta", default=0.3, min=0.0, max=1.0, step=0.05, optional=True,
                       tooltip="Share of fresh noise in the inversion of sdi; published: 0.3."),
        scheduled("interval", 0.1, "How far @nearby is. ism: below, as a share of all timesteps, published 0.1 falling "
                  "to 0.025. asd: above, as a share of t - t_min, times a random number.", min=0.0, max=1.0, step=0.005,
                  optional=True),
    ]
