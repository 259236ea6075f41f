"""Activations of colours, and the parser of colours and channel values in widgets."""
from __future__ import annotations

import math
import re

import torch
from torch import Tensor

from ..core.errors import DistillError

COLOR_ACTIVATIONS = ("sigmoid", "scaled")
ACTIVATIONS = (*COLOR_ACTIVATIONS, "none")  # of backgrounds, also for channels that are not colours


def activate_color(raw: Tensor, activation: str) -> Tensor:
    """Colours from raw features, any shape.

    "sigmoid"  in (0,1)
    "scaled"   raw / 2 + 1/2: unbounded, so that it never saturates; published with DeepFloyd IF
    "none"     raw, for channels that are not colours
    """
    if activation == "none":
        return raw
    return torch.sigmoid(raw) if activation == "sigmoid" else raw * 0.5 + 0.5


def raw_color(color: Tensor, activation: str) -> Tensor:
    """The inverse of `activate_color` for colours in [0,1], which "sigmoid" clamps to 0.01 .. 0.99 to keep logits
    finite."""
    return color.clamp(0.01, 0.99).logit() if activation == "sigmoid" else 2 * color - 1


def parse_values(text: str) -> tuple[float, ...]:
    """A colour in the format of `parse_color`, or another number of values such as "0, 0, 0.5, -1", for channels that
    are not colours. Raises DistillError."""
    try:
        values = tuple(float(piece) for piece in text.split(","))
    except ValueError:
        values = ()
    if len(values) in (0, 3) or "#" in text or not all(map(math.isfinite, values)):
        return parse_color(text)
    return values


def fit_channels(values: tuple[float, ...], channels: int, node: str) -> tuple[float, ...]:
    """`values` for C channels; a single value is repeated. Raises DistillError, beginning with `node`, for any other
    number of values."""
    if len(values) == 1:
        return values * channels
    if len(values) != channels:
        example = ", ".join(["0"] * channels)
        raise DistillError(f"{node}: the material has {channels} channels, and the color has {len(values)} values. "
                           f'Write one value for all channels, such as "0", or {channels} values: "{example}".')
    return values


def check_activation(activation: str, known: tuple[str, ...] = COLOR_ACTIVATIONS) -> None:
    if activation not in known:
        raise DistillError(f'Colour activation "{activation}" is unknown. Use one of {", ".join(known)}.')


def parse_color(text: str) -> tuple[float, float, float]:
    """"#ff8000", "#f80" or "1.0, 0.5, 0.0" -> (1.0, 0.5, 0.0). Raises DistillError for anything else."""
    text = text.strip()
    if re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
        digits = text.removeprefix("#")
        return tuple(int(digits[i:i + 2], 16) / 255 for i in (0, 2, 4))
    if re.fullmatch(r"#[0-9a-fA-F]{3}", text):
        return tuple(int(digit, 16) / 15 for digit in text[1:])
    try:
        color = tuple(float(piece) for piece in text.split(","))
    except ValueError:
        color = ()
    if len(color) != 3 or not all(0 <= value <= 1 for value in color):
        raise DistillError(f'Cannot read the colour "{text}". Write "#ff8000", or red, green, blue from 0 to 1: '
                           '"1, 0.5, 0".')
    return color
