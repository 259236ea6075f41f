"""Train Prior: a small text-to-image diffusion model, trained on captioned pictures."""

from __future__ import annotations

from collections.abc import Callable

from ..comfy import DATASET, Node, io
from .denoising_trainer import OBJECTIVES, PriorRecipe
from .prior_trainer import PriorTrainer, TrainedPrior
from .shape_dataset import ShapeImages
from .training_run import outside_inference_mode, parse_channels, run_training, run_widgets, train_below_output


@outside_inference_mode
def train_prior(
    data: ShapeImages,
    recipe: PriorRecipe,
    folder: str | None = None,
    device="cpu",
    callback: Callable | None = None,
    budget: Callable[[int, float], float] | None = None,
    start: str | None = None,
    reading: Callable | None = None,
) -> TrainedPrior:
    """`run_training` on ShapeImages; returns the averaged model on `device`. reading: `preparing` of the text
    encoder."""
    trainer = PriorTrainer(data, recipe, device)
    run_training(trainer, folder, callback, budget, start, reading)
    return trainer.prior()


class TrainPriorNode(Node):
    advanced = ("channels", "learning_rate", "batch", "seed", "start", "reading_steps", "objective")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainPrior", display_name="Train Prior", category="Distill3D/train",
            description="Trains a small text-to-image diffusion model on captioned pictures, like the built-in prior.",
            search_aliases=["ddpm", "denoising score matching", "tiny prior"],
            inputs=[
                DATASET.Input("dataset", tooltip="Training pictures, from Shape Dataset."),
                *run_widgets(channels="32, 64, 96", widths="multiples of 16, the last of 32", folder="distill3d/prior"),
                io.Int.Input("reading_steps", default=1500, min=0, max=100_000, optional=True, tooltip="Steps of "
                             "pretraining of the text encoder on the facts of captions, before a new run. 0: none. "
                             'A "start" with all words skips it.'),
                io.Combo.Input("objective", options=list(OBJECTIVES), default="velocity", optional=True, tooltip=(
                    "What the network learns to predict. velocity: as the built-in prior; noise: DDPM's simple "
                    "objective, all timesteps alike; score: NCSN's, indexed by the noise level, uniform in its "
                    "logarithm.")),
            ],
            outputs=[io.String.Output("folder", tooltip="The trained prior, for the folder of Built-in Prior."),
                     io.Image.Output("samples", tooltip="Samples of the prior for some prompts.")],
            hidden=[io.Hidden.unique_id], is_output_node=True, not_idempotent=True)

    @classmethod
    def execute(cls, dataset, minutes=90.0, steps=0, channels="32, 64, 96", learning_rate=1e-3, batch=32, seed=0,
                folder="distill3d/prior", resume=True, start="", reading_steps=1500,
                objective="velocity") -> io.NodeOutput:
        recipe = PriorRecipe(steps or None, minutes, batch, parse_channels(channels), learning_rate, seed=seed,
                             reading_steps=reading_steps, objective=objective)
        name, sheet = train_below_output(PriorTrainer, dataset, recipe, folder, resume, cls.hidden.unique_id, start)
        return io.NodeOutput(name, sheet[None], ui={"text": [name]})
