"""Core's background removal, which runs in ComfyUI only: here a graph that contains it can be read, checked and laid
out."""
from __future__ import annotations

from ..nodes.comfy import FileNames, io
from ..nodes.core.errors import DistillError
from .core_node import CoreNode

REMOVAL = io.Custom("BACKGROUND_REMOVAL")
ADVICE = ("its model, BiRefNet, runs in ComfyUI only. Open the workflow there, or wire Load Image with a picture whose "
          "surroundings are transparent.")


class LoadBackgroundRemovalModel(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LoadBackgroundRemovalModel", display_name="Load Background Removal Model",
            category="model/loaders", description="A model that separates objects from backgrounds.",
            inputs=[io.Combo.Input("bg_removal_name", options=FileNames(), tooltip="The file, below the "
                                   "background_removal folder.")],
            outputs=[REMOVAL.Output("bg_model")])

    @classmethod
    def execute(cls, bg_removal_name):
        raise DistillError(f"Load Background Removal Model: {ADVICE}")


class RemoveBackground(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="RemoveBackground", display_name="Remove Background", category="image/background removal",
            description="A mask, 1 on the object.",
            inputs=[REMOVAL.Input("bg_removal_model", tooltip="The model."),
                    io.Image.Input("image", tooltip="The picture.")],
            outputs=[io.Mask.Output("mask")])

    @classmethod
    def execute(cls, bg_removal_model, image):
        raise DistillError(f"Remove Background: {ADVICE}")
