"""Score distillation sampling (Poole et al. 2022, DreamFusion) with any prior."""
from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...kernels.distill.guidance import guide, perp_negative, rescale
from ...kernels.distill.sds import sds_gradient, surrogate
from ...kernels.distill.weighting import WEIGHTINGS
from ..comfy import LOSS, PRIOR, PROMPT, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Loss, RunContext, Stateless, Term
from ..core.picture import PICTURES, check_shown, picture
from ..core.prior import PriorRecipe, encode_negatives
from ..core.prompt import Prompt
from ..core.schedule import Schedule


@dataclass(frozen=True)
class SDS:
    """Pulls what is rendered towards what a prior would paint for the prompt.

    prompt        with interpolated views, the prior answers under four conditions and Perp-Neg combines them
    guidance      classifier-free guidance scale, standard form (papers' s in "eps_c + s (eps_c - eps_u)" is s + 1; the
                  numbers of threestudio's perp-neg branch are standard already)
    weighting     w(t), one of WEIGHTINGS
    t_min, t_max  range of timesteps as fractions of the prior's; drawn uniformly, both ends included
    image         what of the rendering the prior is shown, one of nodes.core.picture.PICTURES
    clamp         limits the predicted clean pixels to what pixels can be, as samplers of pixel models do
    rescaling     0..1, see kernels.distill.guidance.rescale
    weight        the term's weight. The loss is a sum over elements per view: about 3,000 of them for the built-in
                  prior, 12,288 for DeepFloyd IF, 16,384 for Stable Diffusion, 4,096 for models of four views
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

    def __post_init__(self):
        check_shown(self.prior, self.image, "SDS Loss")

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset({"opacity", *PICTURES[self.image]})

    def prepare(self, context: RunContext) -> "PreparedSDS":
        return PreparedSDS(self, context)


class PreparedSDS(Stateless):
    def __init__(self, recipe: SDS, context: RunContext):
        self.recipe, self.total = recipe, context.total
        self.prior = context.priors(recipe.prior)
        self._rows: dict[str, object] = {}
        # In one go, and before the first step: a large text encoder then makes room for the network that denoises.
        self._encode(list(recipe.prompt.all_texts()))

    def __call__(self, rendering, cameras, step, streams) -> Term:
        recipe, prior = self.recipe, self.prior
        z = prior.encode_image(picture(rendering, cameras, recipe.image))
        clean = z[:, :prior.channels]  # what stands behind is a condition
        t = self._timesteps(len(z), step, streams("timestep")).to(z.device)
        noise = torch.randn(clean.shape, generator=streams("noise")).to(z)
        with torch.no_grad():
            z_t = prior.add_noise(z.detach(), noise, t)
            z0, positive = self._guided(z_t, t, cameras, recipe.guidance.at(step, self.total))
            if recipe.rescaling:
                z0 = rescale(z0, positive, recipe.rescaling, prior.views)
            if recipe.clamp:
                z0 = z0.clamp(-1, 1)
            gradient = torch.nan_to_num(sds_gradient(clean.detach(), z0, prior.sigma(t), recipe.weighting))
        value = surrogate(clean, gradient) * recipe.weight.at(step, self.total)
        return Term(value, {"gradient": gradient.norm() / len(z) ** 0.5, "timestep": t.float().mean()})

    def _guided(self, z_t: Tensor, t: Tensor, cameras, scale: float) -> tuple[Tensor, Tensor]:
        """The guided z0, and the one under the positive condition alone."""
        prompt = self.recipe.prompt
        negative = encode_negatives(self.prior, [prompt.negative] * len(z_t), self._encode)
        if not prompt.is_interpolated:
            conditions = [negative, self._encode(prompt.of_cameras(cameras))]
            unconditional, positive = self.prior.denoise(z_t, t, conditions, cameras)
            return guide(unconditional, positive, scale), positive
        views = prompt.guidance_of_cameras(cameras)
        first, second = (self._encode(list(texts)) for texts in zip(*(view.positive for view in views)))
        mixture = first.lerp(second, torch.tensor([view.share for view in views]))
        away = [self._encode(list(texts)) for texts in zip(*(view.negatives for view in views))]
        unconditional, positive, *negatives = self.prior.denoise(z_t, t, [negative, mixture, *away], cameras)
        weights = torch.tensor([view.weights for view in views]).to(z_t)
        return perp_negative(unconditional, positive, negatives, weights, scale), positive

    def _timesteps(self, batch: int, step: int, generator: torch.Generator) -> Tensor:
        """[B] int64; one draw per group for priors that see several views at once."""
        last = self.prior.timesteps - 1
        low = min(max(int(self.recipe.t_min.at(step, self.total) * self.prior.timesteps), 0), last)
        high = min(int(self.recipe.t_max.at(step, self.total) * self.prior.timesteps), last)
        if high < low:
            raise DistillError(f"SDS Loss: at step {step} the largest timestep ({high}) lies below the smallest ({low}). "
                               'Raise "t_max" or lower "t_min".')
        groups = -(-batch // self.prior.views)
        t = torch.randint(low, high + 1, (groups,), generator=generator)
        return t.repeat_interleave(self.prior.views)[:batch]

    def _encode(self, texts: list[str]):
        """The condition of these texts, None of none. Each text is encoded once per run."""
        fresh = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if fresh:
            encoded = self.prior.encode_prompts(fresh)
            self._rows.update({text: encoded.take(torch.tensor([i])) for i, text in enumerate(fresh)})
        return self._rows[texts[0]].join([self._rows[text] for text in texts]) if texts else None


class SDSLossNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_SDSLoss", display_name="SDS Loss", category="Distill3D/losses",
            description="Pulls what is rendered towards what a prior would paint for the prompt.",
            search_aliases=["sds", "score distillation", "dreamfusion", "text to 3d"],
            inputs=[
                PRIOR.Input("prior", tooltip="The diffusion model that is distilled."),
                PROMPT.Input("prompt", tooltip="What the object should be, with view words."),
                scheduled("guidance", 5.0, "Guidance scale in the standard form: uncond + scale (cond - uncond). "
                          "DreamFusion's and threestudio's 100 is 101 here; with interpolated views, threestudio's "
                          "perp-neg number stays as it is.", min=0.0, max=1000.0, step=0.5),
                io.Combo.Input("weighting", options=list(WEIGHTINGS), default="sds", tooltip="How much each noise level "
                               "counts: sds = 1 - abar (DreamFusion), uniform (Magic3D), fantasia3d, x0 (MVDream)."),
                scheduled("t_min", 0.02, "Smallest timestep as a fraction of the prior's.", min=0.0, max=1.0, step=0.01),
                scheduled("t_max", 0.98, "Largest timestep as a fraction of the prior's.", min=0.0, max=1.0, step=0.01),
                io.Combo.Input("image", options=list(PICTURES), default="rgb", tooltip="What the prior is shown: colours, "
                               "normals of the world or the camera, or what the Normal-Depth Prior and the Albedo Prior need."),
                io.Boolean.Input("clamp", default=False, tooltip="Limit predicted pixels to [-1, 1]: cleaner colours with "
                                 "pixel priors; leave off for latent priors."),
                io.Float.Input("rescaling", default=0.0, min=0.0, max=1.0, step=0.05, tooltip="Against oversaturation: "
                               "0 off, MVDream uses 0.5."),
                scheduled("weight", 1.0, "Weight of this loss. It is a sum over elements per view, so weights of other "
                          "losses are relative to that.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, prior, prompt, guidance=5.0, weighting="sds", t_min=0.02, t_max=0.98, image="rgb", clamp=False,
                rescaling=0.0, weight=1.0, losses: tuple[Loss, ...] = ()) -> io.NodeOutput:
        loss = SDS(prior, prompt, Schedule.of(guidance), weighting, Schedule.of(t_min), Schedule.of(t_max), image,
                   clamp, rescaling, Schedule.of(weight))
        return io.NodeOutput((*losses, loss))
