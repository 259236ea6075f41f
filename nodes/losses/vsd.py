"""Variational score distillation (Wang et al. 2023, ProlificDreamer)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import torch
from torch import Tensor

from ...kernels.distill.vsd import vsd_gradient
from ..comfy import LOSS, PRIOR, PROMPT, Node, io, scheduled
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext, Term
from ..core.picture import IMAGES, check_shown
from ..core.prior import Encoded, PriorRecipe, draw_timesteps
from ..core.prompt import Prompt
from ..core.schedule import Schedule
from ..models.tuning import Tuner, adam_inputs
from .score import ScoreLoss, image_input, timestep_inputs
from .score_options import FOLDED, ScoreOptions, option_inputs

TITLE = "VSD Loss"
CAMERA_DROPOUT = 0.1  # fraction of the steps at which the adapter is trained without cameras, as published


@dataclass(frozen=True)
class VSD:
    """Variational score distillation: the gradient of a rendering is the difference between the noise predicted by the
    prior and by a second model, which is trained on the renderings.

    lora          the second model, trained at every step, from a LoRA Prior
    guidance      of the prior only, standard form; published 7.5
    t_min, t_max  of the distillation, as in SDS; the second model is trained at all timesteps
    image         the image of the rendering that both receive, one of nodes.core.picture.IMAGES
    lora_rate     learning rate of the second model (AdamW); published 1e-4
    weight        of a sum over elements per view, as in SDS
    epsilon, decay  of the second model's AdamW
    options       what all score losses have

    The second model is conditioned on the text without view words, as published, and on the cameras. A scene is a
    single particle. Particles makes several copies of it, and the second model is trained on all of them.
    """

    prior: PriorRecipe
    lora: PriorRecipe
    prompt: Prompt
    guidance: Schedule = Schedule.of(7.5)
    t_min: Schedule = Schedule.of(0.02)
    t_max: Schedule = Schedule.of(0.98)
    image: str = "rgb"
    lora_rate: Schedule = Schedule.of(1e-4)
    weight: Schedule = Schedule.of(1.0)
    name: str = "vsd"
    epsilon: float = 1e-8
    decay: float = 0.01
    options: ScoreOptions = ScoreOptions()

    title = TITLE  # begins its errors

    def __post_init__(self):
        for prior in (self.prior, self.lora):
            check_shown(prior, self.image, self.title)

    @property
    def wanted(self) -> frozenset[str]:
        return frozenset({"opacity", *IMAGES[self.image].fields}) | self.options.wanted

    def prepare(self, context: RunContext) -> "PreparedVSD":
        return PreparedVSD(self, context)


class PreparedVSD(ScoreLoss):
    """Trains the second model. Its weights and its optimiser are the state."""

    title = TITLE

    def __init__(self, recipe: VSD, context: RunContext):
        super().__init__(recipe, context)
        self.lora = context.priors(recipe.lora)
        self._text = self.lora.encode_prompts([recipe.prompt.text])
        _check_pair(self.prior, self.lora, self.title)
        self.tuner = Tuner(self.lora.adapter, self.title, "LoRA", recipe.epsilon, recipe.decay)

    def __call__(self, look: Look) -> Term:
        shown = self._noised(look)
        with torch.no_grad():
            z0, _ = self._guided(shown, look.cameras, look.at(self.recipe.guidance))
            z_t = self.lora.add_noise(shown.picture.clean, shown.noise, shown.t)  # the same noise, in its own scaling
            painted, = self.lora.denoise(z_t, shown.t, [self._text_of(len(z_t))], look.cameras, shown.picture.beside)
            gradient = vsd_gradient(z0, painted, self.prior.sigma(shown.t))
        return self._term(shown, gradient, look, {"lora error": self._train(shown.picture.detach(), look)})

    def _train(self, z: Encoded, look: Look) -> Tensor:
        """One training step of the second model on the current renderings. Returns its error before the step."""
        t = draw_timesteps(self.lora, len(z), 0, self.lora.timesteps - 1,
                           look.streams("lora timestep")).to(z.clean.device)
        noise = torch.randn(z.clean.shape, generator=look.streams("lora noise")).to(z.clean)
        drops_camera = bool(torch.rand((), generator=look.streams("lora cameras")) < CAMERA_DROPOUT)
        error = self.lora.error(z, noise, t, self._text_of(len(z)), look.cameras, drops_camera)
        self.tuner.step(error, noise.numel(), look.at(self.recipe.lora_rate))
        return error.detach()

    def _text_of(self, batch: int):
        return self._text.take(torch.zeros(batch, dtype=torch.long))

    def state_dict(self) -> dict[str, Tensor]:
        return self.tuner.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises DistillError if the state belongs to another second model."""
        self.tuner.load_state_dict(state)


def _check_pair(prior, lora, title: str) -> None:
    """Raises DistillError unless `lora` is trainable and both models have the same image space and noise levels."""
    if not lora.is_tunable:
        raise DistillError(f'{title}: "lora" has no trainable weights. Connect a LoRA Prior that is made from this '
                           'prior.')
    ours, theirs = ((prior.channels, prior.size, prior.views, prior.timesteps) for prior in (prior, lora))
    if ours != theirs:
        raise DistillError(f'{title}: "prior" has (channels, size, views, timesteps) {ours} and "lora" {theirs}. Make '
                           'the LoRA Prior from the same prior, or set both to one resolution.')
    t = torch.arange(0, prior.timesteps, max(prior.timesteps // 16, 1), device=prior.device)
    if not torch.allclose(prior.sigma(t).cpu(), lora.sigma(t.to(lora.device)).cpu(), rtol=1e-2):
        raise DistillError(f'{title}: "prior" and "lora" were trained with different noise levels. Make the LoRA Prior '
                           'from the same prior.')


class VSDLossNode(Node):
    advanced = ("image", "epsilon", "decay", *FOLDED)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_VSDLoss", display_name=TITLE, category="Distill3D/losses",
            description="Variational score distillation: the gradient is the difference between the scores of the "
                        "prior and of a second model that is trained on the renderings. Sharper than SDS, at ordinary "
                        "guidance (ProlificDreamer).",
            search_aliases=["vsd", "variational score distillation", "prolificdreamer", "lora", "text to 3d"],
            inputs=[
                PRIOR.Input("prior", tooltip="The diffusion model that is distilled."),
                PRIOR.Input("lora", tooltip="From a LoRA Prior: the second model, which is trained on the renderings "
                                            "during the run."),
                PROMPT.Input("prompt", tooltip="The prompt, from View Prompt. The second model gets it without view "
                                               "words."),
                scheduled("guidance", 7.5, "Guidance scale of the prior in the standard form; published: 7.5.", min=0.0,
                          max=1000.0, step=0.5),
                *timestep_inputs(0.02, 0.98),
                image_input(),
                scheduled("lora_rate", 0.0001, "Learning rate of the second model; published: "
                                               "0.0001.", min=0.0, max=1.0,
                          step=0.0001),
                scheduled("weight", 1.0, "Weight of this loss. It is a sum over elements per view, so weights of other "
                          "losses are relative to that.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
                *adam_inputs(),
                *option_inputs(),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, prior, lora, prompt, guidance=7.5, t_min=0.02, t_max=0.98, image="rgb", lora_rate=0.0001,
                weight=1.0, losses: tuple[Loss, ...] = (), epsilon=1e-8, decay=0.01,
                **options) -> io.NodeOutput:
        loss = VSD(prior, lora, prompt, Schedule.of(guidance), Schedule.of(t_min), Schedule.of(t_max), image,
                   Schedule.of(lora_rate), Schedule.of(weight), epsilon=epsilon, decay=decay,
                   options=ScoreOptions.of(**options))
        return io.NodeOutput((*losses, loss))
