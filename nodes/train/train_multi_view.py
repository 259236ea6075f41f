"""Train MVDream Prior and Train Normal-Depth Prior: small models that denoise several views of one object together."""

from __future__ import annotations

from functools import partial

from ..comfy import VIEW_DATASET, Node, io
from ..models.builtin import BUILTIN_ZERO123
from .denoising_trainer import PriorRecipe
from .multi_view_trainer import MultiViewTrainer, NormalDepthTrainer, check_channels
from .train_zero123 import autoencoder_widget
from .training_run import parse_channels, prior_folder, run_widgets, train_below_output

_WIDTHS = "two or three multiples of 32"


def _reading_widget() -> io.Int.Input:
    return io.Int.Input("reading_steps", default=1500, min=0, max=100_000, optional=True, tooltip="Steps of "
                        "pretraining of the text encoder on the facts of captions, before a new run. 0: none.")


def _outputs(node: str) -> list:
    return [io.String.Output("folder", tooltip=f"The trained prior, for the model of {node}."),
            io.Image.Output("samples", tooltip="One row of views for each of some captions, from the front on.")]


def _train(trainer, cls, dataset, minutes, steps, channels, learning_rate, batch, seed, folder, resume, start,
           reading_steps, autoencoder="") -> io.NodeOutput:
    recipe = PriorRecipe(steps or None, minutes, batch,
                         parse_channels(channels, trainer.name, partial(check_channels, name=trainer.name)),
                         learning_rate, seed=seed, reading_steps=reading_steps,
                         autoencoder=prior_folder(autoencoder, trainer.name, BUILTIN_ZERO123))
    name, sheet = train_below_output(trainer, dataset, recipe, folder, resume, cls.hidden.unique_id, start)
    return io.NodeOutput(name, sheet[None], ui={"text": [name]})


class TrainMVDreamPriorNode(Node):
    advanced = ("channels", "learning_rate", "batch", "seed", "start", "reading_steps", "autoencoder")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainMVDreamPrior", display_name=MultiViewTrainer.name, category="Distill3D/train",
            description="Trains a small diffusion model that denoises several views of one object together, like the "
                        "built-in model of MVDream Prior.",
            search_aliases=["mvdream", "multi-view diffusion", "janus"],
            inputs=[
                VIEW_DATASET.Input("dataset", tooltip="From Shape Views, with cameras all around."),
                *run_widgets(channels="64, 96", widths=_WIDTHS, folder="distill3d/mvdream"),
                _reading_widget(), autoencoder_widget(),
            ],
            outputs=_outputs("MVDream Prior"), hidden=[io.Hidden.unique_id], is_output_node=True, not_idempotent=True)

    @classmethod
    def execute(cls, dataset, minutes=90.0, steps=0, channels="64, 96", learning_rate=1e-3, batch=32, seed=0,
                folder="distill3d/mvdream", resume=True, start="", reading_steps=1500, autoencoder="") -> io.NodeOutput:
        return _train(MultiViewTrainer, cls, dataset, minutes, steps, channels, learning_rate, batch, seed, folder,
                      resume, start, reading_steps, autoencoder)


class TrainNormalDepthPriorNode(Node):
    advanced = ("channels", "learning_rate", "batch", "seed", "start", "reading_steps")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainNormalDepthPrior", display_name=NormalDepthTrainer.name, category="Distill3D/train",
            description="Trains a small diffusion model that denoises normals and depth of several views of one object "
                        "together, like the built-in model of Normal-Depth Prior.",
            search_aliases=["richdreamer", "nd-mv", "geometry prior"],
            inputs=[
                VIEW_DATASET.Input("dataset", tooltip="From Shape Views, with picture normal and depth, and cameras "
                                                      "all around."),
                *run_widgets(channels="32, 64, 96", widths=_WIDTHS, folder="distill3d/normal_depth"),
                _reading_widget(),
            ],
            outputs=_outputs("Normal-Depth Prior"), hidden=[io.Hidden.unique_id], is_output_node=True,
            not_idempotent=True)

    @classmethod
    def execute(cls, dataset, minutes=90.0, steps=0, channels="32, 64, 96", learning_rate=1e-3, batch=32, seed=0,
                folder="distill3d/normal_depth", resume=True, start="", reading_steps=1500) -> io.NodeOutput:
        return _train(NormalDepthTrainer, cls, dataset, minutes, steps, channels, learning_rate, batch, seed, folder,
                      resume, start, reading_steps)
