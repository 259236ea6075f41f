"""Bootstrapped score distillation (Sun et al. 2023, DreamCraft3D)."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping

import torch
from torch import Tensor

from ..comfy import LOSS, PRIOR, PROMPT, Node, io, scheduled
from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.loss import Look, Loss, RunContext, Term
from ..core.picture import picture
from ..core.prior import Condition, Encoded
from ..core.schedule import Schedule
from ..models.tuning import adam_inputs
from .score import image_input, timestep_inputs
from .score_options import FOLDED, ScoreOptions, option_inputs
from .vsd import VSD, PreparedVSD

TITLE = "BSD Loss"
BOOTSTRAPPED = "bootstrapped."  # prefix of the prior's tensors in the state


@dataclass(frozen=True)
class BSD(VSD):
    """VSD with a prior that is also trained, on denoised renderings of the scene. Prior and scene are trained in turns.

    prior      from a DreamBooth Prior
    guidance, t_max  published 2, and from 0.5 to 0.2 within 5000 steps
    cycle      steps of one turn of both; published 1000
    learning   steps at the start of a cycle in which only the prior is trained; published 200
    """

    guidance: Schedule = Schedule.of(2.0)
    t_min: Schedule = Schedule.of(0.05)
    t_max: Schedule = Schedule.of(0.5)
    name: str = "bsd"
    cycle: int = 1000
    learning: int = 200

    title = TITLE

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.learning < self.cycle:
            raise DistillError(f"{TITLE}: the prior is trained for {self.learning} of every {self.cycle} steps, so the "
                               'scene is never trained. Lower "learning" or raise "cycle".')

    def prepare(self, context: RunContext) -> "PreparedBSD":
        return PreparedBSD(self, context)


class PreparedBSD(PreparedVSD):
    """Trains both models. Their weights, their optimisers and the denoised renderings are the state."""

    title = TITLE

    def __init__(self, recipe: BSD, context: RunContext):
        super().__init__(recipe, context)
        if not self.prior.is_learning:
            raise DistillError(f'{TITLE}: "prior" is not trainable. Connect a DreamBooth Prior that is made from it.')
        if self.prior is self.lora:
            raise DistillError(f'{TITLE}: "prior" and "lora" are the same model, so the gradient would be 0. Connect a '
                               'LoRA Prior to "lora", or a DreamBooth Prior with another seed.')

    def __call__(self, look: Look) -> Term:
        if look.step % self.recipe.cycle >= self.recipe.learning:
            return super().__call__(look)
        error = self.prior.learn(lambda: self._encoded(look), look.cameras, self._conditions, look.step, look.total,
                                 look.streams)
        return Term(error.new_zeros(()), {"prior error": error})

    @torch.no_grad()
    def _encoded(self, look: Look) -> Encoded:
        return self.prior.encode_image(picture(look.rendering, look.cameras, self.recipe.image))

    def _conditions(self, cameras: Cameras) -> list[Condition]:
        """The negative condition, and the text condition of each view."""
        return [self._negatives(len(cameras)), self._encode(self.prompt.of_cameras(cameras))]

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {BOOTSTRAPPED + name: tensor for name, tensor in self.prior.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Raises DistillError if the state belongs to other models."""
        ours = {name[len(BOOTSTRAPPED):]: tensor for name, tensor in state.items() if name.startswith(BOOTSTRAPPED)}
        super().load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith(BOOTSTRAPPED)})
        self.prior.load_state_dict(ours)


class BSDLossNode(Node):
    advanced = ("image", "cycle", "learning", "epsilon", "decay", *FOLDED)

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_BSDLoss", display_name=TITLE, category="Distill3D/losses",
            description="Bootstrapped score distillation: VSD with a prior that is trained during the run on denoised "
                        "renderings of the scene. For textures (DreamCraft3D).",
            search_aliases=["bsd", "bootstrapped score distillation", "dreamcraft3d", "dreambooth", "texture "
                            "refinement"],
            inputs=[
                PRIOR.Input("prior", tooltip="From DreamBooth Prior: the model that is distilled, and trained during "
                                             "the run on denoised renderings."),
                PRIOR.Input("lora", tooltip="From LoRA Prior: the second model, trained during the run on the "
                            "renderings themselves."),
                PROMPT.Input("prompt", tooltip="The prompt, from View Prompt. The second model gets it without view "
                                               "words."),
                scheduled("guidance", 2.0, "Guidance scale of the prior in the standard form; published: 2.", min=0.0,
                          max=1000.0, step=0.5),
                *timestep_inputs(0.05, 0.5),
                image_input(),
                io.Int.Input("cycle", default=1000, min=1, max=1000000, tooltip="Steps of one cycle, in which first "
                             "the prior and then the scene is trained; published: 1000."),
                io.Int.Input("learning", default=200, min=0, max=1000000, tooltip="Steps at the start of each cycle "
                             "in which only the prior is trained; published: 200."),
                scheduled("lora_rate", 0.0001, "Learning rate of the second model; published: 0.0001, and 0.00001 for "
                          "a full copy.", min=0.0, max=1.0, step=0.0001),
                scheduled("weight", 1.0, "Weight of this loss. It is a sum over elements per view, so weights of other "
                          "losses are relative to that.", min=0.0, max=1e6, step=0.01),
                LOSS.Input("losses", optional=True, tooltip="Losses that this one is added to."),
                *adam_inputs(),
                *option_inputs(),
            ],
            outputs=[LOSS.Output("loss", tooltip="The chain of losses with this one at its end.")])

    @classmethod
    def execute(cls, prior, lora, prompt, guidance=2.0, t_min=0.05, t_max=0.5, image="rgb", cycle=1000, learning=200,
                lora_rate=0.0001, weight=1.0, losses: tuple[Loss, ...] = (), epsilon=1e-8, decay=0.01,
                **options) -> io.NodeOutput:
        loss = BSD(prior, lora, prompt, Schedule.of(guidance), Schedule.of(t_min), Schedule.of(t_max), image,
                   Schedule.of(lora_rate), Schedule.of(weight), cycle=cycle, learning=learning, epsilon=epsilon,
                   decay=decay, options=ScoreOptions.of(**options))
        return io.NodeOutput((*losses, loss))
