"""Pictures of truth and result side by side."""
from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Sequence

import torch
from torch import Tensor

from ..core.errors import DistillError, MissingPackage
from ..core.state import write_atomically
from .views import Pictures

SHOWN = (0, 2, 13, 15)  # of standard_views: front, side, from behind above, from the front above
GAP = 4  # pixels


def normal_picture(pictures: Pictures) -> Tensor:
    """World normals as colours over white: [B,H,W,3] in [0,1]."""
    return (0.5 * (pictures.normal + pictures.opacity) + (1 - pictures.opacity)).clamp(0, 1)


def comparison(result: Pictures, truth: Pictures) -> tuple[Tensor, Tensor, Tensor]:
    """Three strips [H, B*W, 3]: the true colours, the result's colours, the result's normals."""
    return tuple(torch.cat(tuple(images), 1) for images in (truth.color, result.color, normal_picture(result)))


def shadings(pictures: Pictures) -> tuple[Tensor, Tensor, Tensor]:
    """Three strips [H, B*W, 3]: the colours unlit, under a light at the camera, and the light alone (textureless)."""
    light = (pictures.gray - (1 - pictures.opacity)) / pictures.opacity.clamp(min=1e-3)
    lit = (pictures.color - (1 - pictures.opacity)) * light + (1 - pictures.opacity)
    return tuple(torch.cat(tuple(images), 1) for images in (pictures.color, lit, pictures.gray.expand(-1, -1, -1, 3)))


def in_one_row(strips: Sequence[Tensor]) -> Tensor:
    """Strips [H,W,3] next to each other with white gaps."""
    gap = torch.ones(strips[0].shape[0], GAP, 3)
    return torch.cat([part for strip in strips for part in (strip, gap)][:-1], 1)


def in_one_column(strips: Sequence[Tensor]) -> Tensor:
    """Strips [H,W,3] of one width below each other with white gaps."""
    gap = torch.ones(GAP, strips[0].shape[1], 3)
    return torch.cat([part for strip in strips for part in (strip, gap)][:-1], 0)


def take(pictures: Pictures, views: Sequence[int]) -> Pictures:
    return Pictures(*(image[list(views)] for image in pictures))


def write_picture(path: str | os.PathLike, image: Tensor) -> Path:
    """image [H,W,3] in [0,1] as a PNG, whole or not at all."""
    data = io.BytesIO()
    _pillow().fromarray(_bytes(image)).save(data, "PNG")
    return write_atomically(path, data.getvalue())


def read_picture(path: str | os.PathLike) -> Tensor:
    """A written picture [H,W,3] in [0,1]."""
    import numpy as np

    return torch.from_numpy(np.asarray(_pillow().open(path).convert("RGB")).copy()).float() / 255


def contact_sheet(path: str | os.PathLike, rows: Sequence[tuple[str, str | os.PathLike | None]]) -> Path:
    """Stacks written pictures, each under its title, into one PNG. A row without a picture shows its title only."""
    from PIL import ImageDraw

    library, line = _pillow(), 14
    pictures = [(title, library.open(picture).convert("RGB") if picture is not None else None)
                for title, picture in rows]
    if not pictures:
        raise DistillError("Contact sheet: there is nothing to show.")
    width = max([picture.width for _, picture in pictures if picture is not None] + [320])
    height = sum(line + (picture.height + GAP if picture is not None else 0) for _, picture in pictures)
    sheet = library.new("RGB", (width, height), "white")
    draw, top = ImageDraw.Draw(sheet), 0
    for title, picture in pictures:
        draw.text((2, top + 1), title, fill="black")
        top += line
        if picture is not None:
            sheet.paste(picture, (0, top))
            top += picture.height + GAP
    data = io.BytesIO()
    sheet.save(data, "PNG")
    return write_atomically(path, data.getvalue())


def _bytes(image: Tensor):
    return (image.detach().cpu().clamp(0, 1) * 255).round().byte().numpy()


def _pillow():
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingPackage("Pillow", "Writing a contact sheet") from error
    return Image
