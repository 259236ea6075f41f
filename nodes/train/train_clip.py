"""Train CLIP: a small CLIP, trained on captioned pictures."""

from __future__ import annotations

from ..comfy import DATASET, Node, io
from .clip_trainer import ClipRecipe, ClipTrainer
from .training_run import run_widgets, train_below_output


class TrainCLIPNode(Node):
    advanced = ("learning_rate", "batch", "seed", "width", "layers", "text_layers", "start")

    @classmethod
    def define_schema(cls):
        widgets = run_widgets("", "", folder="distill3d/clip", batch=128, minutes=50.0)
        return io.Schema(
            node_id="Distill3D_TrainCLIP", display_name="Train CLIP", category="Distill3D/train",
            description="Trains a small CLIP on captioned pictures, like the built-in one.",
            search_aliases=["contrastive", "image text similarity", "tower"],
            inputs=[
                DATASET.Input("dataset", tooltip="Training pictures, from Shape Dataset."),
                *(widget for widget in widgets if widget.id not in ("channels", "start")),
                io.Int.Input("width", default=96, min=32, max=2048, step=32, tooltip="Channels of both towers and of "
                             "the embeddings, a multiple of 32."),
                io.Int.Input("layers", default=4, min=1, max=64, tooltip="Layers of the image tower."),
                io.Int.Input("text_layers", default=3, min=1, max=64, tooltip="Layers of the text tower."),
                widgets[-1],
            ],
            outputs=[io.String.Output("folder", tooltip="The trained CLIP, for the folder of CLIP Tower."),
                     io.Image.Output("samples", tooltip="Pictures above the table of their similarities to captions. "
                                     "Matching pairs are on the diagonal.")],
            hidden=[io.Hidden.unique_id], is_output_node=True, not_idempotent=True)

    @classmethod
    def execute(cls, dataset, minutes=50.0, steps=0, learning_rate=1e-3, batch=128, seed=0, folder="distill3d/clip",
                resume=True, start="", width=96, layers=4, text_layers=3) -> io.NodeOutput:
        recipe = ClipRecipe(steps or None, minutes, batch, (width, layers, text_layers), learning_rate, seed=seed)
        name, sheet = train_below_output(ClipTrainer, dataset, recipe, folder, resume, cls.hidden.unique_id, start)
        return io.NodeOutput(name, sheet[None], ui={"text": [name]})
