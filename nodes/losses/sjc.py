"""Score Jacobian chaining (Wang et al. 2022) with any prior."""
from __future__ import annotations

from dataclasses import dataclass

import torch

from ...kernels.distill.sjc import sjc_gradient
from ..comfy import LOSS, PRIOR, PROMPT, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext, Stateless, Term
from ..core.picture import IMAGES, check_shown
from ..core.prior import PriorRecipe
from ..core.prompt import Prompt
from ..core.schedule import Schedule
from .score import ScoreLoss, image_input, timestep_inputs
from .score_options import FOLDED, ScoreOptions, option_inputs


@dataclass(frozen=True)
class SJC:
    """Score Jacobian chaining: the gradient of a rendering is the prior's score at noised copies of it.

    guidance            as in SDS; published: 100
    variance_reduction  subtracts the added noise from the score, as published: this is SDS with uniform weighting
    t_min, t_max        as in SDS; published: timesteps 30 to 989 of 1000
    image               the image of the rendering that the prior receives, one of nodes.core.picture.IMAGES
    weight              of a sum over elements per view, as in SDS
    """

    prior: PriorRecipe
    prompt: Prompt
    guidance: Schedule = Schedule.of(100.0)
    variance_reduction: bool = True
    t_min: Schedule = Schedule.of(0.03)
    t_max: Schedule = Schedule.of(0.99)
    image: str = "rgb"
    weight: Schedule = Schedule.of(1.0)
    name: str = "sjc"
    options: ScoreOptions = ScoreOptions()

    def __post_init__(self):
        check_shown(self.prior, self.image, PreparedSJC.title)

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset({"opacity", *IMAGES[self.image].fields}) | self.options.wanted

    def prepare(self, context: RunContext) -> "PreparedSJC":
        return PreparedSJC(self, context)


class PreparedSJC(ScoreLoss, Stateless):
    title = "SJC Loss"

    def __call__(self, look: Look) -> Term:
        shown = self._noised(look)
        with torch.no_grad():
            z0, _ = self._guided(shown, look.cameras, look.at(self.recipe.guidance))
            gradient = sjc_gradient(shown.picture.clean.detach(), z0, shown.noise, self.prior.sigma(shown.t),
                                    self.recipe.variance_reduction)
        return self._term(shown, gradient, look)


class SJCLossNode(Node):
    advanced = ("variance_reduction", "image", *FOLDED)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SJCLoss", display_name=PreparedSJC.title, category="Distill3D/losses",
            description="Score Jacobian chaining: the gradient of the rendering is the prior's score at noised copies "
                        "of it.",
            search_aliases=["sjc", "score jacobian chaining", "text to 3d"],
            inputs=[
                PRIOR.Input("prior", tooltip="The diffusion model that is distilled."),
                PROMPT.Input("prompt", tooltip="The prompt, from View Prompt."),
                scheduled("guidance", 100.0, "Guidance scale in the standard form: uncond + scale (cond - uncond), "
                          "as in the published code.", min=0.0, max=1000.0, step=0.5),
                io.Boolean.Input("variance_reduction", default=True, tooltip="Subtract the added noise from the score, "
                                 "as published: this is SDS with uniform weighting. Off: the same mean with more "
                                 "variance."),
                *timestep_inputs(0.03, 0.99),
                image_input(),
                scheduled("weight", 1.0, "Weight of this loss. It is a sum over elements per view, so weights of other "
                          "losses are relative to that.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
                *option_inputs(),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, prior, prompt, guidance=100.0, variance_reduction=True, t_min=0.03, t_max=0.99, image="rgb",
                weight=1.0, losses: tuple[Loss, ...] = (), **options) -> io.NodeOutput:
        loss = SJC(prior, prompt, Schedule.of(guidance), variance_reduction, Schedule.of(t_min), Schedule.of(t_max),
                   image, Schedule.of(weight), options=ScoreOptions.of(**options))
        return io.NodeOutput((*losses, loss))
