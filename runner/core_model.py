"""Core's Load Checkpoint without ComfyUI: it finds the file; the nodes that use it read it."""
from __future__ import annotations

from ..nodes.comfy import io
from ..nodes.models.model_file import ModelFile
from ..nodes.models.model_files import choices, locate
from ..nodes.models.published import CHECKPOINTS, LOAD_CHECKPOINT
from .core_node import CoreNode


class CheckpointLoaderSimple(CoreNode):
    """All three outputs are one ModelFile, which Prior from MODEL and the sampling stand-ins read."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="CheckpointLoaderSimple", display_name=LOAD_CHECKPOINT, category="model/loaders",
            description="A model, its text encoder and its autoencoder from one file of the checkpoints folder.",
            inputs=[io.Combo.Input("ckpt_name", options=choices(CHECKPOINTS), tooltip="The file, below the checkpoints "
                                   "folder.")],
            outputs=[io.Model.Output("MODEL"), io.Clip.Output("CLIP"), io.Vae.Output("VAE")])

    @classmethod
    def execute(cls, ckpt_name):
        file = ModelFile(str(locate(str(ckpt_name), LOAD_CHECKPOINT, CHECKPOINTS)))
        return io.NodeOutput(file, file, file)
