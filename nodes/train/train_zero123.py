"""Train Zero123 Prior: a small model of an object's views, conditioned on a picture of it and the relative camera."""

from __future__ import annotations

from ..comfy import VIEW_DATASET, Node, io
from ..models.builtin import BUILTIN_ZERO123
from .denoising_trainer import PriorRecipe
from .training_run import parse_channels, prior_folder, run_widgets, train_below_output
from .zero123_trainer import Zero123Trainer, check_channels


def autoencoder_widget() -> io.String.Input:
    return io.String.Input("autoencoder", default="", optional=True, tooltip="Folder of a prior below the output "
                           'folder whose autoencoder is used, \"built-in\" for that of the pack. Empty: a new one is '
                           "trained, in some minutes.")


class TrainZero123PriorNode(Node):
    advanced = ("channels", "learning_rate", "batch", "seed", "start", "autoencoder")

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="Distill3D_TrainZero123Prior", display_name=Zero123Trainer.name, category="Distill3D/train",
            description="Trains a small diffusion model of an object's views, conditioned on a picture of it and the "
                        "relative camera, like the built-in model of Zero123 Prior.",
            search_aliases=["zero123", "novel view", "image to 3d", "view-conditioned"],
            inputs=[
                VIEW_DATASET.Input("dataset", tooltip="From Shape Views, with cameras anywhere."),
                *run_widgets(channels="48, 64, 96", widths="two or three multiples of 16", folder="distill3d/zero123"),
                autoencoder_widget(),
            ],
            outputs=[io.String.Output("folder", tooltip="The trained prior, for the model of Zero123 Prior."),
                     io.Image.Output("samples", tooltip="Rows: the conditioning picture, then three pairs of truth and "
                                     "sample.")],
            hidden=[io.Hidden.unique_id], is_output_node=True, not_idempotent=True)

    @classmethod
    def execute(cls, dataset, minutes=90.0, steps=0, channels="48, 64, 96", learning_rate=1e-3, batch=32, seed=0,
                folder="distill3d/zero123", resume=True, start="", autoencoder="") -> io.NodeOutput:
        recipe = PriorRecipe(steps or None, minutes, batch,
                             parse_channels(channels, Zero123Trainer.name, check_channels), learning_rate, seed=seed,
                             autoencoder=prior_folder(autoencoder, Zero123Trainer.name, BUILTIN_ZERO123))
        name, sheet = train_below_output(Zero123Trainer, dataset, recipe, folder, resume, cls.hidden.unique_id, start)
        return io.NodeOutput(name, sheet[None], ui={"text": [name]})
