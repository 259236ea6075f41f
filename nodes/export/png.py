"""Pictures as PNG bytes."""
from __future__ import annotations

import io

from torch import Tensor

from ..core.errors import MissingPackage


def to_bytes(picture: Tensor):
    """[...,H,W,3] in [0,1] -> numpy uint8 of the same shape, rounded; values outside are clamped."""
    return (picture.detach().clamp(0, 1) * 255 + 0.5).byte().cpu().numpy()


def png_bytes(picture: Tensor) -> bytes:
    """picture [H,W,3] in [0,1], display-referred -> PNG, 8 bit, tagged as sRGB. Raises MissingPackage."""
    try:
        from PIL import Image, PngImagePlugin
    except ImportError as error:
        raise MissingPackage("Pillow", "Writing a texture") from error
    info = PngImagePlugin.PngInfo()
    info.add(b"sRGB", b"\0")                             # rendering intent 0: perceptual
    file = io.BytesIO()
    Image.fromarray(to_bytes(picture)).save(file, "PNG", pnginfo=info)
    return file.getvalue()
