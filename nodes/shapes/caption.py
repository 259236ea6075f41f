"""A small language of shapes: captions such as "a blue sphere on top of a green cylinder".

A caption names one exact shape, so every result of a caption can be compared with the truth.
The front of a shape faces +x, up is z, and its size is fixed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ...kernels.shapes.sdf import HALF_HEIGHT, HALF_WIDTH, PATTERNS, PRIMITIVES, Parts
from ..core.errors import DistillError
from ..core.view_words import VIEW_WORDS

COLORS = {
    "red": (0.85, 0.10, 0.10),
    "green": (0.10, 0.65, 0.15),
    "blue": (0.12, 0.22, 0.85),
    "yellow": (0.92, 0.82, 0.10),
    "orange": (0.95, 0.50, 0.08),
    "purple": (0.50, 0.15, 0.65),
    "cyan": (0.10, 0.75, 0.80),
    "pink": (0.95, 0.50, 0.70),
}
BOTTOMS = ("sphere", "cube", "cylinder", "torus", "capsule")  # what another part can stand on
NOSED = ("sphere", "cube", "cylinder", "capsule")  # what can have a nose
KNOWN_WORDS = ("a", "an", "on", "top", "of", "with", "nose", *PATTERNS[1:], *COLORS, *PRIMITIVES)

_SINGLE, _STACKED, _BODY, _NOSE = 0.72, 0.46, 0.56, 0.31  # scales
_NOSE_SHIFT = -0.2  # moves body and nose back, so that the pair is centred


@dataclass(frozen=True)
class ShapePart:
    """One placed primitive. scale is the world length of its unit; axis is where its z points: "z" or "x"."""

    primitive: str
    color: str
    center: tuple[float, float, float] = (0.0, 0.0, 0.0)
    scale: float = _SINGLE
    axis: str = "z"
    pattern: str = "plain"


@dataclass(frozen=True)
class Shape:
    """Parts in world coordinates, and the caption that names them."""

    parts: tuple[ShapePart, ...]
    caption: str


def single(color: str, primitive: str, pattern: str = "plain") -> Shape:
    """One primitive, plain, striped or dotted."""
    words = f"{color} {primitive}" if pattern == "plain" else f"{pattern} {color} {primitive}"
    return Shape((ShapePart(primitive, color, pattern=pattern),), _with_article(words))


def stack(top_color: str, top: str, bottom_color: str, bottom: str) -> Shape:
    """One primitive on top of another, centred at the origin."""
    above = ShapePart(top, top_color, (0.0, 0.0, HALF_HEIGHT[bottom] * _STACKED), _STACKED)
    below = ShapePart(bottom, bottom_color, (0.0, 0.0, -HALF_HEIGHT[top] * _STACKED), _STACKED)
    caption = f"{_with_article(f'{top_color} {top}')} on top of {_with_article(f'{bottom_color} {bottom}')}"
    return Shape((above, below), caption)


def nosed(color: str, primitive: str, nose_color: str) -> Shape:
    """A body with a cone for a nose, pointing forward along +x."""
    body = ShapePart(primitive, color, (_NOSE_SHIFT, 0.0, 0.0), _BODY)
    tip = _NOSE_SHIFT + HALF_WIDTH[primitive] * _BODY + 0.7 * _NOSE
    nose = ShapePart("cone", nose_color, (tip, 0.0, 0.0), _NOSE, axis="x")
    return Shape((body, nose), f"{_with_article(f'{color} {primitive}')} with {_with_article(f'{nose_color} nose')}")


def sample_shape(rng, shares: tuple[float, float, float] = (0.27, 0.6, 0.06)) -> Shape:
    """A random shape; cubes are three times as frequent as others. Two-part shapes always have two colours.

    rng     numpy.random.Generator
    shares  of single, stacked and nosed shapes; the rest has a pattern
    """

    def pick(values):
        # Of the plain primitives only a cube changes with the azimuth, which a prior learns last.
        values = [value for value in values for _ in range(3 if value == "cube" else 1)]
        return values[int(rng.integers(len(values)))]

    kind = rng.random()
    first, second = (list(COLORS)[i] for i in rng.permutation(len(COLORS))[:2])
    single_share, stacked, nosed_share = shares
    if kind < single_share:
        return single(first, pick(PRIMITIVES))
    if kind < single_share + stacked:
        return stack(first, pick(PRIMITIVES), second, pick(BOTTOMS))
    if kind < single_share + stacked + nosed_share:
        return nosed(first, pick(NOSED), second)
    return single(first, pick(PRIMITIVES), pick(PATTERNS[1:]))


_A = r"an?"
_COLOR = "(" + "|".join(COLORS) + ")"
_GRAMMAR = (
    (single, rf"{_A} {_COLOR} ({'|'.join(PRIMITIVES)})", (0, 1)),
    (single, rf"{_A} ({'|'.join(PATTERNS[1:])}) {_COLOR} ({'|'.join(PRIMITIVES)})", (1, 2, 0)),
    (stack, rf"{_A} {_COLOR} ({'|'.join(PRIMITIVES)}) on top of {_A} {_COLOR} ({'|'.join(BOTTOMS)})", (0, 1, 2, 3)),
    (nosed, rf"{_A} {_COLOR} ({'|'.join(NOSED)}) with {_A} {_COLOR} nose", (0, 1, 2)),
)


def parse_shape(caption: str) -> Shape:
    """The shape that a caption names. View words after a comma are ignored.

    Raises DistillError naming the words outside the vocabulary, or the valid forms.
    """
    words = re.findall(r"[^\s,]+|,", caption.lower().strip().rstrip("."))
    unknown = [word for word in words if word not in (*KNOWN_WORDS, *VIEW_WORDS, ",")]
    if unknown:
        raise DistillError(
            f"shape caption {caption!r}: unknown {', '.join(map(repr, unknown))}. "
            f"Colours: {', '.join(COLORS)}. Primitives: {', '.join(PRIMITIVES)}. Patterns: {', '.join(PATTERNS[1:])}."
        )
    sentence = " ".join(words).split(" ,")[0]
    for build, pattern, order in _GRAMMAR:
        match = re.fullmatch(pattern, sentence)
        if match:
            return build(*(match.groups()[i] for i in order))
    raise DistillError(
        f"shape caption {caption!r} is not a sentence about a shape. "
        "Write one like 'a red cube', 'a striped red cube', "
        f"'a red cone on top of a blue cube' (below: {', '.join(BOTTOMS)}) or "
        f"'a red sphere with a blue nose' (body: {', '.join(NOSED)})."
    )


def shape_parts(shapes: Sequence[Shape], scale=None, device=None) -> Parts:
    """Tensors of B shapes for the renderer and the distance function.

    shapes  sequence of Shape; scale [B] multiplies whole shapes (default 1)

    Returns Parts with batch dimension B, P = the largest number of parts, missing parts with kind -1.
    """
    count = max(len(shape.parts) for shape in shapes)
    absent = ShapePart(PRIMITIVES[0], next(iter(COLORS)), scale=1.0)
    rows = [shape.parts + (absent,) * (count - len(shape.parts)) for shape in shapes]
    present = torch.tensor([[i < len(shape.parts) for i in range(count)] for shape in shapes])
    frames = {"z": torch.eye(3), "x": torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])}
    factor = torch.ones(len(rows)) if scale is None else torch.as_tensor(scale, dtype=torch.float32).cpu()
    kind = torch.tensor([[PRIMITIVES.index(part.primitive) for part in row] for row in rows])
    return Parts(
        kind=torch.where(present, kind, -1),
        center=torch.tensor([[part.center for part in row] for row in rows]) * factor[:, None, None],
        scale=torch.tensor([[part.scale for part in row] for row in rows]) * factor[:, None],
        rotation=torch.stack([torch.stack([frames[part.axis] for part in row]) for row in rows]),
        color=torch.tensor([[COLORS[part.color] for part in row] for row in rows]),
        pattern=torch.tensor([[PATTERNS.index(part.pattern) for part in row] for row in rows]),
    ).to(device or "cpu")


def _with_article(words):
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"
