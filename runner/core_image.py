"""Core's picture nodes without ComfyUI: LoadImage, PreviewImage, SaveImage, SaveAnimatedWEBP, ImageFromBatch."""
from __future__ import annotations

import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..nodes.assets.picture_file import as_floats, read_frames
from ..nodes.comfy import host, io
from ..nodes.core.errors import DistillError, check_named
from ..nodes.core.state import write_atomically
from .core_node import CoreNode


def load_picture(path: Path) -> tuple[Tensor, Tensor]:
    """Image [B,H,W,3] and mask [B,H,W] (1 where transparent; [B,64,64] of zeros without alpha) of a picture file.

    B is the number of frames; those of another size than the first are left out. Raises DistillError as `read_frames`.
    """
    images, masks = [], []
    for frame in read_frames(path, str(path)):
        picture = torch.from_numpy(as_floats(frame))
        if images and picture.shape[:2] != images[0].shape[:2]:
            continue
        images.append(picture[..., :3])
        masks.append(1.0 - picture[..., 3] if picture.shape[2] == 4 else torch.zeros(64, 64))
    sizes = {mask.shape for mask in masks}
    if len(sizes) > 1:  # some frames have alpha: the others are opaque
        masks = [mask if mask.shape == images[0].shape[:2] else torch.zeros(images[0].shape[:2]) for mask in masks]
    return torch.stack(images), torch.stack(masks)


def input_path(name: str) -> Path:
    """The file that a LoadImage widget names: below the input folder, or the output folder for "name [output]".

    Raises DistillError when it does not exist or lies outside.
    """
    check_named(name, "Load Image", advice="Choose a picture.")
    match = re.fullmatch(r"(.*?)\s*\[(input|output)\]", name)
    name, kind = match.groups() if match else (name, "input")
    root = (host().output_directory if kind == "output" else host().input_directory).resolve()
    path = (root / name.replace("\\", "/")).resolve()  # as a workflow made on Windows names it
    if root not in path.parents:
        raise DistillError(f'"{name}" leads out of the {kind} folder {root}. Put the file there and use its plain '
                           "name.")
    if not path.is_file():
        raise DistillError(f'There is no file "{name}" in the {kind} folder {root}. Put it there, or choose another '
                           "folder with --input.")
    return path


def pixels(images: Tensor) -> Any:
    """images [B,H,W,3|4] in [0,1] as uint8 numpy of the same shape. Values outside are clipped; NaN becomes black.

    Raises DistillError for another shape or an empty batch.
    """
    if images.ndim != 4 or images.shape[-1] not in (3, 4) or 0 in images.shape:
        raise DistillError(f"A batch of pictures [B,H,W,3] is needed, got {list(images.shape)}.")
    return (images.detach().float().nan_to_num(0.0).clamp(0, 1) * 255).to("cpu", torch.uint8).numpy()


class LoadImage(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="LoadImage", display_name="Load Image", category="image",
            description="A picture from the input folder.",
            inputs=[io.Combo.Input("image", tooltip="File name below the input folder.")],
            outputs=[io.Image.Output("IMAGE"), io.Mask.Output("MASK")])

    @classmethod
    def execute(cls, image):
        return io.NodeOutput(*load_picture(input_path(str(image))))


class PreviewImage(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="PreviewImage", display_name="Preview Image", category="image", is_output_node=True,
            description="Shows pictures in the editor; nothing happens without it.",
            inputs=[io.Image.Input("images", tooltip="The pictures.")], outputs=[io.Image.Output("images")])

    @classmethod
    def execute(cls, images):
        return io.NodeOutput(images)


class SaveImage(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SaveImage", display_name="Save Image", category="image", is_output_node=True,
            description="Writes each picture of a batch to a PNG file in the output folder.",
            inputs=[io.Image.Input("images", tooltip="The pictures."),
                    io.String.Input("filename_prefix", default="ComfyUI", tooltip="Start of the file names; may name "
                                    "a subfolder.")],
            outputs=[io.Image.Output("images")], hidden=[io.Hidden.prompt])

    @classmethod
    def execute(cls, images, filename_prefix="ComfyUI"):
        from PIL import Image
        from PIL.PngImagePlugin import PngInfo

        facts = PngInfo()
        if cls.hidden.prompt is not None:
            facts.add_text("prompt", json.dumps(cls.hidden.prompt))
        saved = []
        for picture in pixels(images):
            data = BytesIO()
            Image.fromarray(picture).save(data, "PNG", pnginfo=facts, compress_level=4)
            saved.append(host().saved(write_atomically(host().save_path(filename_prefix, "png"), data.getvalue())))
        return io.NodeOutput(images, ui={"images": saved})


class SaveAnimatedWEBP(CoreNode):
    METHODS = {"default": 4, "fastest": 0, "slowest": 6}

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="SaveAnimatedWEBP", display_name="Save Animated WEBP", category="image", is_output_node=True,
            description="Writes a batch of pictures to one moving WEBP file in the output folder.",
            inputs=[io.Image.Input("images", tooltip="The frames."),
                    io.String.Input("filename_prefix", default="ComfyUI", tooltip="Start of the file name."),
                    io.Float.Input("fps", default=6.0, min=0.01, max=1000.0, tooltip="Frames per second."),
                    io.Boolean.Input("lossless", default=True, tooltip="Keeps every pixel exactly."),
                    io.Int.Input("quality", default=80, min=0, max=100, tooltip="Higher is better and larger."),
                    io.Combo.Input("method", options=list(cls.METHODS), tooltip="Time spent on a smaller file.")],
            outputs=[io.Image.Output("images")])

    @classmethod
    def execute(cls, images, filename_prefix="ComfyUI", fps=6.0, lossless=True, quality=80, method="default"):
        from PIL import Image

        first, *others = (Image.fromarray(picture) for picture in pixels(images))
        data = BytesIO()
        first.save(data, "WEBP", save_all=True, append_images=others, duration=max(1, round(1000 / fps)), loop=0,
                   lossless=lossless, quality=quality, method=cls.METHODS[method])
        path = write_atomically(host().save_path(filename_prefix, "webp"), data.getvalue())
        return io.NodeOutput(images, ui={"images": [host().saved(path)], "animated": (True,)})


class ImageFromBatch(CoreNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="ImageFromBatch", display_name="Get Image from Batch", category="image/batch",
            description="Some of the pictures of a batch.",
            inputs=[io.Image.Input("image", tooltip="The pictures."),
                    io.Int.Input("batch_index", default=0, min=-16384, max=16384, tooltip="The first; below 0 counted "
                                 "from the end. Outside it is the nearest."),
                    io.Int.Input("length", default=1, min=1, max=4096, tooltip="How many, as far as there are.")],
            outputs=[io.Image.Output("IMAGE")])

    @classmethod
    def execute(cls, image, batch_index=0, length=1):
        first = batch_index + len(image) if batch_index < 0 else batch_index
        first = max(0, min(first, len(image) - 1))
        return io.NodeOutput(image[first:first + length].clone())
