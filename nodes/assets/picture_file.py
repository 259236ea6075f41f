"""Picture files as arrays: named formats only, within stated limits, sixteen bits kept."""

from __future__ import annotations

import os
import warnings
from io import BytesIO
from typing import Any, Iterator

import numpy as np

from ..core.errors import DistillError, MissingPackage

# Pillow tries every format that it knows unless told, and one of them starts Ghostscript.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "TGA", "PPM", "AVIF", "DDS", "MPO")
MAX_PIXELS = 1 << 26  # of one file, all frames together: 8192 x 8192
MAX_FRAMES = 4096
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")


def read_frames(source: str | os.PathLike | bytes, place: str) -> Iterator[np.ndarray]:
    """Every frame of a picture file as [H,W,3], or [H,W,4] with alpha: RGB as stored, uint8, or float32 in [0,1].

    place  what messages call the file

    Orientation tags are applied. Sixteen-bit pictures keep their values (of 65535), pictures of 32-bit floats too.
    Raises DistillError, beginning with `place`, for other formats, damaged files and more than MAX_PIXELS or
    MAX_FRAMES, the latter before anything is decoded; MissingPackage.
    """
    try:
        from PIL import Image, ImageOps, ImageSequence
    except ImportError as error:
        raise MissingPackage("Pillow", "Reading a picture") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pictures near Pillow's own limit: ours is the stricter one
            Image.init()
            known = [name for name in FORMATS if name in Image.OPEN]  # which ones depends on how Pillow was built
            with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=known) as file:
                _check_size(file, place)
                for frame in ImageSequence.Iterator(file):
                    _check_size(frame, place, 1)
                    yield _array(ImageOps.exif_transpose(frame))
    except DistillError:
        raise
    except Exception as error:  # Pillow raises OSError, SyntaxError, ValueError, struct.error, EOFError, KeyError, ...
        reason = getattr(error, "strerror", None) or "it is damaged or of an unknown kind"
        raise DistillError(f"{place} cannot be read as a picture: {reason}. Save it again as PNG or JPEG.") from error


def read_picture(source: str | os.PathLike | bytes, place: str) -> np.ndarray:
    """The first frame as [H,W,4], opaque where the file has no alpha: see `read_frames`."""
    frames = read_frames(source, place)
    try:
        picture = next(frames)
        if picture.shape[2] == 4:
            return picture
        return np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=255 if picture.dtype == np.uint8 else 1)
    except StopIteration:
        raise DistillError(
            f"{place} cannot be read as a picture: it holds none. Save it again as PNG or JPEG."
        ) from None
    finally:
        frames.close()


def _check_size(picture: Any, place: str, frames: int | None = None) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise DistillError(
            f"{place} has {width} x {height} pixels; at most {MAX_PIXELS >> 20} million are read. Make it smaller."
        )
    if frames is None:
        frames = getattr(picture, "n_frames", 1)
    if frames > MAX_FRAMES or frames * width * height > MAX_PIXELS:
        raise DistillError(
            f"{place} has {frames} frames of {width} x {height} pixels; at most {MAX_FRAMES} frames and "
            f"{MAX_PIXELS >> 20} million pixels together are read. Make it smaller or shorter."
        )


def _array(picture: Any) -> np.ndarray:
    mode = picture.mode
    if mode in _DEEP or mode in ("I", "F"):
        grey = np.asarray(picture).astype(np.float32)
        largest = 1.0 if mode == "F" else 65535.0  # 16-bit greys are opened as "I" by some versions of Pillow
        if mode == "F" and (not np.isfinite(grey).all() or grey.min() < 0 or grey.max() > 1):
            raise DistillError(
                f"The picture holds floating-point values outside 0..1 ({grey.min():g} to {grey.max():g}), so its "
                "white "
                "is not known. Save it with values from 0 to 1, or as 16-bit PNG."
            )
        return np.repeat((grey / largest).clip(0, 1)[..., None], 3, -1)
    has_alpha = "A" in picture.getbands() or "transparency" in picture.info
    return np.asarray(picture.convert("RGBA" if has_alpha else "RGB"))


def as_floats(picture: np.ndarray) -> np.ndarray:
    """A picture as float32 in [0,1]."""
    return picture.astype(np.float32) / 255 if picture.dtype == np.uint8 else picture
