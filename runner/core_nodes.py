"""Stand-ins for the core nodes that graphs of this pack use, for runs without ComfyUI.

Ids, inputs and outputs are ComfyUI's, so that the same file runs in both. Viewers do
nothing here. These classes are never registered in ComfyUI.
"""
from __future__ import annotations

import sys
from typing import Any

from ..nodes.comfy import io
from .core_node import CoreNode


def _primitive(node_id: str, name: str, kind: Any, **options: Any) -> type:
    class Primitive(CoreNode):
        @classmethod
        def define_schema(cls):
            return io.Schema(node_id=node_id, display_name=name, category="utilities/primitive",
                             description="One value for several inputs.",
                             inputs=[kind.Input("value", tooltip="The value.", **options)],
                             outputs=[kind.Output(tooltip="The value.")])

        @classmethod
        def execute(cls, value):
            return io.NodeOutput(value)

    Primitive.__name__ = Primitive.__qualname__ = node_id
    return Primitive


PrimitiveInt = _primitive("PrimitiveInt", "Int", io.Int, default=0, min=-sys.maxsize, max=sys.maxsize,
                          control_after_generate=True)
PrimitiveFloat = _primitive("PrimitiveFloat", "Float", io.Float, default=0.0, min=-sys.maxsize, max=sys.maxsize)
PrimitiveString = _primitive("PrimitiveString", "Text", io.String, default="")
PrimitiveStringMultiline = _primitive("PrimitiveStringMultiline", "Text (Multiline)", io.String, default="",
                                      multiline=True)
PrimitiveBoolean = _primitive("PrimitiveBoolean", "Boolean", io.Boolean, default=False)


def core_nodes() -> list[type]:
    """Every stand-in."""
    from .core_3d import MeshToFile3D, Preview3D, SaveGLB, SplatToFile3D
    from .core_background import LoadBackgroundRemovalModel, RemoveBackground
    from .core_image import ImageFromBatch, LoadImage, PreviewImage, SaveAnimatedWEBP, SaveImage
    from .core_model import CheckpointLoaderSimple
    from .core_sampling import CLIPTextEncode, EmptyLatentImage, KSampler, VAEDecode, VAEEncode
    from .core_video import CreateVideo, SaveVideo
    return [PrimitiveInt, PrimitiveFloat, PrimitiveString, PrimitiveStringMultiline, PrimitiveBoolean,
            CheckpointLoaderSimple, CLIPTextEncode, EmptyLatentImage, KSampler, VAEDecode, VAEEncode,
            LoadImage, ImageFromBatch, LoadBackgroundRemovalModel, RemoveBackground, PreviewImage, SaveImage,
            SaveAnimatedWEBP, CreateVideo, SaveVideo, MeshToFile3D, SplatToFile3D, SaveGLB, Preview3D]
