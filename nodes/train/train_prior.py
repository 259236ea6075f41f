"""Train Prior: teach a small text-to-image diffusion model from captioned pictures."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..comfy import DATASET, Node, host, io, seed_input
from ..core.errors import DistillError
from ..core.prior import BUILTIN_FOLDER
from .if_layout import check_channels, import_diffusers
from .prior_trainer import PIPELINE, STATE, PriorRecipe, PriorTrainer, TrainedPrior
from .shape_dataset import ShapeDataset, ShapeImages, load_or_render


@torch.inference_mode(False)  # the host calls nodes inside inference mode, where nothing can be trained
@torch.enable_grad()
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
    """Denoising training (Ho et al. 2020, eq. 14) on ShapeImages.

    data      images uint8 [N, H, W, 3] with captions and angles
    folder    for checkpoints ("state.pt"), sample sheets and the pipeline ("builtin"); a run that finds
              its checkpoint there continues it, in steps mode bit for bit
    callback  callback(step, total, loss, image=None): total is estimated in minutes mode; image is a
              sample sheet [H', W', 3], at checkpoints and at the end; what it raises ends the run
    budget    budget(step, seconds) -> fraction used, in place of the recipe's; asked at every step
    start     pipeline folder whose weights a new run begins with, instead of random ones
    reading   reading(step, total, loss), while the text encoder learns to read, before everything else; a run that
              begins with weights which know all words does not

    Returns TrainedPrior, on `device`. Every random choice comes from (seed, step).
    """
    trainer = PriorTrainer(data, recipe, device)
    state = folder and os.path.join(folder, STATE)
    if state and os.path.exists(state):
        trainer.load(state)
    elif start:
        trainer.begin_from(start)
    if trainer.step == 0 and trainer.must_read and recipe.reading_steps:
        trainer.learn_to_read(reading)
    budget = budget or recipe.progress
    before, start = trainer.seconds, time.monotonic()
    saved = start
    loss = math.nan
    while (fraction := budget(trainer.step, trainer.seconds)) < 1.0:
        loss = trainer.train_step(fraction)
        trainer.seconds = before + time.monotonic() - start
        sheet = None
        if folder and time.monotonic() - saved > 60.0 * recipe.checkpoint_minutes:
            sheet = trainer.checkpoint(folder)
            saved = time.monotonic()
        if callback is not None:
            done = max(fraction, 1e-6)
            callback(trainer.step, recipe.steps or max(trainer.step, round(trainer.step / done)), loss, sheet)
    sheet = trainer.checkpoint(folder) if folder else trainer.sample_sheet()
    if callback is not None:
        callback(trainer.step, max(trainer.step, 1), loss, sheet)
    return trainer.prior()


def train_below_output(dataset: ShapeDataset, recipe: PriorRecipe, folder: str, resume: bool = True,
                       node_id: str | None = None, start: str = "") -> tuple[str, Tensor]:
    """`train_prior` as a node runs it: in a folder of the output folder, shown to the host and ended by it.

    folder  name below the output folder. Pictures, states and sample sheets are kept in it
    resume  go on with the run that the folder holds; otherwise a folder that holds one is refused

    start   "built-in", or a pipeline's folder below the output folder, whose weights a new run begins with; "": random

    Returns the pipeline's folder, as Built-in Prior takes it, and its sample sheet [H,W,3].
    Raises DistillError before any work for a folder or channels that cannot be used.
    """
    path, beginning = _run_folder(folder, resume), _start_folder(start)
    check_channels(recipe.channels)
    import_diffusers()
    watch = _Watch(recipe, node_id)
    try:
        data = load_or_render(dataset, str(path / "dataset.npz"), watch.rendered, host().device())
        train_prior(data, recipe, str(path), host().device(), watch, watch.budget, beginning, watch.read)
    finally:
        watch.progress.close()
    host().saved(path / PIPELINE / "model_index.json")
    root = host().output_directory.resolve()
    return (path / PIPELINE).relative_to(root).as_posix(), watch.sheet


class _Watch:
    """Shows a run to the host, stops it where the user cancels, ends it where the user wants what there is."""

    def __init__(self, recipe: PriorRecipe, node_id: str | None):
        self.recipe, self.node_id = recipe, node_id
        self.progress = host().progress(node_id, "Train Prior", 1000)
        self.is_finishing, self.sheet = False, None

    def rendered(self, done: int, size: int) -> None:
        host().check()
        self.progress.update(0, f"{done}/{size} pictures drawn")

    def read(self, step: int, steps: int, loss: float) -> None:
        host().check()
        self.progress.update(0, f"{step}/{steps} reading captions  loss {loss:.3f}")

    def budget(self, step: int, seconds: float) -> float:
        # Not before the first step of all: there would be nothing to keep.
        self.is_finishing = self.is_finishing or bool(step) and host().should_finish(self.node_id)
        return 1.0 if self.is_finishing else self.recipe.progress(step, seconds)

    def __call__(self, step: int, total: int, loss: float, image: Tensor | None = None) -> None:
        host().check()
        self.sheet = image
        facts = {"loss": loss} if math.isfinite(loss) else {}
        self.progress.update(1000 * step // total, f"{step}/{total}  loss {loss:.4f}", image, facts)


def _run_folder(folder: str, resume: bool) -> Path:
    """The folder below the output folder. Raises DistillError when it lies elsewhere or holds what would be lost."""
    root = host().output_directory.resolve()
    path = (root / folder).resolve()
    if root not in path.parents:
        raise DistillError(f'Train Prior: "{folder}" is no folder below the output folder {root}. Use a plain name.')
    if (path / STATE).is_file():
        if not resume:
            raise DistillError(f'Train Prior: "{folder}" holds a run already. Switch "resume" on to go on with it, or give '
                               "another name.")
    elif (path / PIPELINE).exists():
        raise DistillError(f'Train Prior: "{folder}" holds a "{PIPELINE}" that is not from here, and it would be replaced. '
                           "Give another name.")
    return path


def _start_folder(start: str) -> str | None:
    if not start:
        return None
    root = host().output_directory.resolve()
    path = BUILTIN_FOLDER if start == "built-in" else (root / start).resolve()
    if path != BUILTIN_FOLDER and root not in path.parents or not (path / "unet").is_dir():
        raise DistillError(f'Train Prior: "{start}" is no prior below the output folder {root}. Leave it empty, or write '
                           '"built-in" to begin with the weights that come with the pack.')
    return str(path)


def parse_channels(text: str) -> tuple[int, ...]:
    """"32, 64, 96" -> (32, 64, 96). Raises DistillError for what is no list of usable widths."""
    try:
        channels = tuple(int(piece) for piece in text.replace(",", " ").split())
    except ValueError:
        raise DistillError(f'Train Prior: cannot read channels "{text}". Write whole numbers, e.g. "32, 64, 96".') from None
    check_channels(channels)
    return channels


class TrainPriorNode(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainPrior", display_name="Train Prior", category="Distill3D/train",
            description="Teaches a small text-to-image diffusion model from captioned pictures: the way the built-in prior was "
                        "made.", search_aliases=["ddpm", "denoising score matching", "tiny prior"],
            inputs=[
                DATASET.Input("dataset", tooltip="What it learns from."),
                io.Float.Input("minutes", default=90.0, min=0.1, max=100_000.0, step=1.0, tooltip="Training time. More "
                               "minutes with resume on go on where an earlier run ended."),
                io.Int.Input("steps", default=0, min=0, max=10_000_000, tooltip="Training steps instead of minutes; 0 trains "
                             "by the clock. Only a run of steps gives the same result every time."),
                io.String.Input("channels", default="32, 64, 96", tooltip="Width of the network at each of its resolutions: "
                                "multiples of 16, the last of 32."),
                io.Float.Input("learning_rate", default=1e-3, min=1e-7, max=1.0, step=1e-4, round=False, tooltip="AdamW's, "
                               "falling over the last 40 percent of the run."),
                io.Int.Input("batch", default=32, min=1, max=4096, tooltip="Pictures per step."),
                seed_input(),
                io.String.Input("folder", default="distill3d/prior", tooltip="Name below the output folder, where the prior, "
                                "its dataset, states to resume from and sample sheets are kept."),
                io.Boolean.Input("resume", default=True, tooltip="Go on with the run that the folder holds, if there is one. "
                                 "Off: a folder that holds one is refused."),
                io.String.Input("start", default="", optional=True, tooltip="Weights that a new run begins with: empty for "
                                "random ones, \"built-in\" for those of the pack, or a prior's folder below the output folder."),
                io.Int.Input("reading_steps", default=1500, min=0, max=100_000, optional=True, tooltip="Steps in which the text "
                             "encoder alone learns what captions say, before a new run paints. 0: it learns that by painting. \"start\" with a prior that can read needs none."),
            ],
            outputs=[io.String.Output("folder", tooltip="The trained prior, for the folder of Built-in Prior."),
                     io.Image.Output("samples", tooltip="What the prior paints for some prompts.")],
            hidden=[io.Hidden.unique_id], is_output_node=True, not_idempotent=True)

    @classmethod
    def execute(cls, dataset, minutes=90.0, steps=0, channels="32, 64, 96", learning_rate=1e-3, batch=32, seed=0,
                folder="distill3d/prior", resume=True, start="", reading_steps=1500) -> io.NodeOutput:
        recipe = PriorRecipe(steps or None, minutes, batch, parse_channels(channels), learning_rate, seed=seed,
                             reading_steps=reading_steps)
        name, sheet = train_below_output(dataset, recipe, folder, resume, cls.hidden.unique_id, start)
        return io.NodeOutput(name, sheet[None], ui={"text": [name]})
