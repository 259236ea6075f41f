"""Training run: runs a trainer until its budget is used, in a folder from which it can resume, with the host's
progress."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ..comfy import host, io, seed_input
from ..core.errors import DistillError, check_named
from .denoising_trainer import PriorRecipe
from .if_layout import check_channels, import_diffusers
from .shape_dataset import load_or_render
from .trainer import PIPELINE, STATE, Trainer


def outside_inference_mode(function: Callable) -> Callable:
    """Decorator for functions that train: the host calls nodes in inference mode, which forbids gradients."""
    return torch.inference_mode(False)(torch.enable_grad()(function))


def run_training(
    trainer: Trainer,
    folder: str | None = None,
    callback: Callable | None = None,
    budget: Callable[[int, float], float] | None = None,
    start: str | None = None,
    preparing: Callable | None = None,
) -> Tensor:
    """Training until the budget is used; returns the last sample sheet.

    folder     for checkpoints ("state.pt"), sample sheets and the pipeline ("builtin"); a run that finds
               its checkpoint there continues it, in steps mode bit for bit
    callback   callback(step, total, loss, image=None): total is estimated in minutes mode; image is a
               sample sheet [H', W', 3], at checkpoints and at the end; an exception that it raises ends the run
    budget     budget(step, seconds) -> fraction used, in place of the recipe's; called at every step
    start      pipeline folder with the initial weights of a new run, instead of random ones
    preparing  preparing(step, total, loss), during pretraining; not called for initial weights that do not need it

    Every random choice comes from (seed, step).
    """
    recipe = trainer.recipe
    state = folder and os.path.join(folder, STATE)
    if state and os.path.exists(state):
        trainer.load(state)
    elif start:
        trainer.begin_from(start)
    if trainer.step == 0 and trainer.must_read:
        trainer.prepare(preparing)
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
    return sheet


@outside_inference_mode
def train_below_output(build: Callable[..., Trainer], dataset, recipe: PriorRecipe, folder: str,
                       resume: bool = True, node_id: str | None = None, start: str = "") -> tuple[str, Tensor]:
    """`run_training` for a node: in a folder below the output folder, with the host's progress and cancellation.

    build    build(images, recipe, device) -> the trainer; build.name is the node's
    dataset  recipe of a dataset, with a method `render`
    folder   name below the output folder, for pictures, states and sample sheets
    resume   continue the run in the folder; without it a folder that contains a run is refused
    start    initial weights of a new run: "built-in", or a pipeline's folder below the output folder; "": random

    Returns the pipeline's folder, as prior nodes take it, and its sample sheet [H,W,3].
    Raises DistillError before any work for a folder or channels that cannot be used.
    """
    name = build.name
    path, beginning = _run_folder(name, folder, resume), prior_folder(start, name, build.shipped, build.part)
    import_diffusers()
    watch = _Watch(name, recipe, node_id)
    try:
        data = load_or_render(dataset, str(path / "dataset.npz"), watch.rendered, host().device())
        run_training(build(data, recipe, host().device()), str(path), watch, watch.budget, beginning, watch.prepare)
    finally:
        watch.progress.close()
    host().saved(path / PIPELINE / build.index)
    root = host().output_directory.resolve()
    return (path / PIPELINE).relative_to(root).as_posix(), watch.sheet


class _Watch:
    """Reports a run to the host, raises when the user cancels, and ends it early on "Finish now"."""

    def __init__(self, name: str, recipe: PriorRecipe, node_id: str | None):
        self.recipe, self.node_id = recipe, node_id
        self.progress = host().progress(node_id, name, 1000)
        self.is_finishing, self.sheet = False, None

    def rendered(self, done: int, size: int) -> None:
        host().check()
        self.progress.update(0, f"{done}/{size} pictures drawn")

    def prepare(self, step: int, steps: int, loss: float, what: str = "reading captions") -> None:
        host().check()
        self.progress.update(0, f"{step}/{steps} {what}  loss {loss:.3f}")

    def budget(self, step: int, seconds: float) -> float:
        # Not before the first step of all: there would be nothing to keep.
        self.is_finishing = self.is_finishing or bool(step) and host().should_finish(self.node_id)
        return 1.0 if self.is_finishing else self.recipe.progress(step, seconds)

    def __call__(self, step: int, total: int, loss: float, image: Tensor | None = None) -> None:
        host().check()
        self.sheet = image
        facts = {"loss": loss} if math.isfinite(loss) else {}
        self.progress.update(1000 * step // total, f"{step}/{total}  loss {loss:.4f}", image, facts)


def _run_folder(name: str, folder: str, resume: bool) -> Path:
    """The folder below the output folder. Raises DistillError when it lies elsewhere or contains data that would be
    lost."""
    root = host().output_directory.resolve()
    check_named(folder, name, "folder name", "Write one: the prior is written into it, below the output folder.")
    path = (root / folder).resolve()
    if root not in path.parents:
        raise DistillError(f'{name}: "{folder}" is not a folder below the output folder {root}. Use a plain name.')
    if (path / STATE).is_file():
        if not resume:
            raise DistillError(f'{name}: "{folder}" contains a run already. Turn "resume" on to continue it, or give '
                               "another name.")
    elif (path / PIPELINE).exists():
        raise DistillError(f'{name}: "{folder}" contains a "{PIPELINE}" of another origin, which would be replaced. '
                           "Give another name.")
    return path


def prior_folder(chosen: str, name: str, shipped: Path, part: str = "unet") -> str:
    """The folder of a model that has `part` in it: "built-in" is the shipped one, other names lie below the output
    folder; "" for ""."""
    if not chosen:
        return ""
    root = host().output_directory.resolve()
    path = shipped if chosen == "built-in" else (root / chosen).resolve()
    if path != shipped and root not in path.parents or not (path / part).exists():
        raise DistillError(f'{name}: "{chosen}" is no such model below the output folder {root}. Leave it empty, or '
                           'write "built-in" for the weights that come with the pack.')
    return str(path)


def parse_channels(text: str, name: str = "Train Prior", check: Callable = check_channels) -> tuple[int, ...]:
    """"32, 64, 96" -> (32, 64, 96). Raises DistillError for anything but a list of valid widths."""
    try:
        channels = tuple(int(piece) for piece in text.replace(",", " ").split())
    except ValueError:
        raise DistillError(f'{name}: cannot read channels "{text}". Write whole numbers, e.g. "32, 64, 96".') from None
    check(channels)
    return channels


def run_widgets(channels: str, widths: str, folder: str, batch: int = 32, minutes: float = 90.0) -> list:
    """Widgets of every node that trains, with these defaults. widths: what the channels must be."""
    return [
        io.Float.Input("minutes", default=minutes, min=0.1, max=100_000.0, step=1.0, tooltip="Training time. With "
                       "resume on, a larger number continues an earlier run."),
        io.Int.Input("steps", default=0, min=0, max=10_000_000, tooltip="Training steps instead of minutes; 0 trains "
                     "for the given minutes. Only a run with a number of steps is reproducible."),
        io.String.Input("channels", default=channels, tooltip="Width of the network at each of its resolutions: "
                        f"{widths}."),
        io.Float.Input("learning_rate", default=1e-3, min=1e-7, max=1.0, step=1e-4, round=False, tooltip="AdamW's "
                       "learning rate, falling over the last 40 percent of the run."),
        io.Int.Input("batch", default=batch, min=1, max=4096, tooltip="Pictures per step."),
        seed_input(),
        io.String.Input("folder", default=folder, tooltip="Folder below the output folder for the prior, its "
                        "dataset, states to resume from and sample sheets."),
        io.Boolean.Input("resume", default=True, tooltip="Continue the run in the folder, if there is one. Off: a "
                         "folder that contains a run is refused."),
        io.String.Input("start", default="", optional=True, tooltip="Initial weights of a new run: empty for random "
                        "ones, \"built-in\" for those of the pack, or a prior's folder below the output folder."),
    ]
