"""Score distillation sampling (Poole et al. 2022, DreamFusion) with any prior."""
from __future__ import annotations

from dataclasses import dataclass

import torch

from ...kernels.distill.guidance import rescale
from ...kernels.distill.sds import sds_gradient
from ...kernels.distill.weighting import WEIGHTINGS
from ..comfy import LOSS, PRIOR, PROMPT, Node, io, scheduled
from ..core.loss import Look, Loss, RunContext, Stateless, Term
from ..core.picture import IMAGES, check_shown
from ..core.prior import PriorRecipe
from ..core.prompt import Prompt
from ..core.schedule import Schedule
from .score import ScoreLoss, image_input, timestep_inputs
from .score_options import FOLDED, ScoreOptions, option_inputs


@dataclass(frozen=True)
class SDS:
    """Score distillation sampling: the gradient of a rendering is w(t) (predicted noise - added noise).

    prompt        with interpolated views, Perp-Neg combines predictions for two positive and two negative texts
    guidance      classifier-free guidance scale in the standard form. The s of papers that write "eps_c + s (eps_c -
                  eps_u)" is s + 1 here; the numbers of threestudio's Perp-Neg branch are already standard
    weighting     w(t), one of WEIGHTINGS
    t_min, t_max  range of timesteps as fractions of the prior's; drawn uniformly, both ends included
    image         the image of the rendering that the prior receives, one of nodes.core.picture.IMAGES
    clamp         clamps predicted pixels to [-1,1], as samplers of pixel-space models do
    rescaling     0..1, see kernels.distill.guidance.rescale
    weight        of the term, which is a sum over elements per view: about 3,000 elements for the built-in prior,
                  12,288 for DeepFloyd IF, 16,384 for Stable Diffusion, 4,096 for models of four views
    """

    prior: PriorRecipe
    prompt: Prompt
    guidance: Schedule = Schedule.of(5.0)
    weighting: str = "sds"
    t_min: Schedule = Schedule.of(0.02)
    t_max: Schedule = Schedule.of(0.98)
    image: str = "rgb"
    clamp: bool = False
    rescaling: float = 0.0
    weight: Schedule = Schedule.of(1.0)
    name: str = "sds"
    options: ScoreOptions = ScoreOptions()

    def __post_init__(self):
        check_shown(self.prior, self.image, "SDS Loss")

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset({"opacity", *IMAGES[self.image].fields}) | self.options.wanted

    def prepare(self, context: RunContext) -> "PreparedSDS":
        return PreparedSDS(self, context)


class PreparedSDS(ScoreLoss, Stateless):
    title = "SDS Loss"
    has_published_guidance = True

    def __call__(self, look: Look) -> Term:
        recipe, prior = self.recipe, self.prior
        shown = self._noised(look)
        with torch.no_grad():
            z0, positive = self._guided(shown, look.cameras, look.at(recipe.guidance))
            if recipe.rescaling:
                z0 = rescale(z0, positive, recipe.rescaling, prior.views)
            if recipe.clamp:
                z0 = z0.clamp(-1, 1)
            gradient = sds_gradient(shown.picture.clean.detach(), z0, prior.sigma(shown.t), recipe.weighting,
                                    self._sigma_before(shown.t))
        return self._term(shown, gradient, look)


class SDSLossNode(Node):
    advanced = ("weighting", "image", "clamp", "rescaling", *FOLDED)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SDSLoss", display_name="SDS Loss", category="Distill3D/losses",
            description="Score distillation sampling: noises the rendering, and the difference between predicted and "
                        "added noise is its gradient (DreamFusion).",
            search_aliases=["sds", "score distillation", "dreamfusion", "text to 3d"],
            inputs=[
                PRIOR.Input("prior", tooltip="The diffusion model that is distilled."),
                PROMPT.Input("prompt", tooltip="The prompt, from View Prompt."),
                scheduled("guidance", 5.0, "Guidance scale in the standard form: uncond + scale (cond - uncond). "
                          "Add 1 to the numbers of DreamFusion and threestudio (100 becomes 101), except to "
                          "threestudio's for Perp-Neg.", min=0.0, max=1000.0, step=0.5),
                io.Combo.Input("weighting", options=list(WEIGHTINGS), default="sds", tooltip="Weight of each noise "
                               "level: sds = 1 - abar (DreamFusion), uniform (Magic3D), fantasia3d, x0 (MVDream), flow "
                               "for flow models (RFDS)."),
                *timestep_inputs(0.02, 0.98),
                image_input(),
                io.Boolean.Input("clamp", default=False, tooltip="Clamp predictions to [-1, 1]: cleaner colours with "
                                 "pixel-space priors. Leave off for latent priors."),
                io.Float.Input("rescaling", default=0.0, min=0.0, max=1.0, step=0.05, tooltip="Reduces oversaturation "
                               "by rescaling the guided prediction to the contrast of the unguided one. 0: off; "
                               "MVDream: 0.5."),
                scheduled("weight", 1.0, "Weight of this loss. It is a sum over elements per view, so weights of other "
                          "losses are relative to that.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
                *option_inputs(),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, prior, prompt, guidance=5.0, weighting="sds", t_min=0.02, t_max=0.98, image="rgb", clamp=False,
                rescaling=0.0, weight=1.0, losses: tuple[Loss, ...] = (), **options) -> io.NodeOutput:
        loss = SDS(prior, prompt, Schedule.of(guidance), weighting, Schedule.of(t_min), Schedule.of(t_max), image,
                   clamp, rescaling, Schedule.of(weight), options=ScoreOptions.of(**options))
        return io.NodeOutput((*losses, loss))
