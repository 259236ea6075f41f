"""How three feature channels become a colour, and how a colour is written on a widget."""
from __future__ import annotations

import re

import torch
from torch import Tensor

from ..core.errors import DistillError

COLOR_ACTIVATIONS = ("sigmoid", "scaled")


def activate_color(raw: Tensor, activation: str) -> Tensor:
    """Colours of raw numbers, any shape.

    "sigmoid"  in (0,1)
    "scaled"   raw / 2 + 1/2: unbounded, so that it never saturates; published with DeepFloyd IF
    """
    return torch.sigmoid(raw) if activation == "sigmoid" else raw * 0.5 + 0.5


def raw_color(color: Tensor, activation: str) -> Tensor:
    """The inverse of `activate_color`, for colours in [0,1]; where a sigmoid would need infinite numbers, nearly."""
    return color.clamp(0.01, 0.99).logit() if activation == "sigmoid" else 2 * color - 1


def check_activation(activation: str) -> None:
    if activation not in COLOR_ACTIVATIONS:
        raise DistillError(f'Colour activation "{activation}" is unknown. Use one of {", ".join(COLOR_ACTIVATIONS)}.')


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
