"""Prompts as people write them for ComfyUI: weights in brackets, and texts longer than one window of the text encoder.

    (word)        1.1 times the weight around it
    (word:1.3)    the weight 1.3
    \\( and \\)     brackets that are text
"""
from __future__ import annotations

import contextlib
import math
import re
from typing import Sequence

Token = tuple[int, float]  # its number in the vocabulary, its weight

_BRACKETED = 1.1
_WORD = 8  # tokens; a shorter piece of a prompt is not divided between two windows
_DEEPEST = 50  # brackets within brackets
_OPEN, _CLOSE = "\ue000", "\ue001"  # stand for escaped brackets while a text is parsed


def weighted_pieces(text: str) -> list[tuple[str, float]]:
    """The pieces of a prompt with their weights, without the brackets. Brackets without a partner are text."""
    return [(piece.replace(_OPEN, "(").replace(_CLOSE, ")"), weight)
            for piece, weight in _pieces(text.replace("\\(", _OPEN).replace("\\)", _CLOSE), 1.0)]


def plain(text: str) -> str:
    """The prompt without weights, for text encoders that have none."""
    return "".join(piece for piece, _ in weighted_pieces(text))


def windows(pieces: Sequence[tuple[Sequence[int], float]], length: int, start: int, end: int,
            pad: int) -> list[list[Token]]:
    """Windows of `length` tokens: start, up to length - 2 tokens of the text, end, padding. At least one.

    pieces  the tokens of each piece of the text and their weight. A piece of fewer than 8 tokens that does not fit into
            a window begins the next one, as in ComfyUI
    """
    room = length - 2
    filled: list[list[Token]] = [[]]
    for numbers, weight in pieces:
        tokens = [(number, weight) for number in numbers]
        if len(tokens) < _WORD and len(filled[-1]) + len(tokens) > room:
            filled.append([])
        while tokens:
            free = room - len(filled[-1])
            filled[-1] += tokens[:free]
            tokens = tokens[free:]
            if tokens:
                filled.append([])
    return [[(start, 1.0), *window, (end, 1.0), *[(pad, 1.0)] * (room - len(window))] for window in filled]


def _pieces(text: str, weight: float, depth: int = 0) -> list[tuple[str, float]]:
    found = []
    for piece, is_bracketed in _split(text):
        if not is_bracketed:
            found.append((piece, weight))
            continue
        inner, named = piece, weight * _BRACKETED
        match = re.fullmatch(r"(.+):([^:()]*)", piece, re.DOTALL)
        if match:
            with contextlib.suppress(ValueError):
                given = float(match[2])
                if math.isfinite(given):
                    inner, named = match[1], given
        found += _pieces(inner, named, depth + 1) if depth < _DEEPEST else [(inner, named)]
    return found


def _split(text: str) -> list[tuple[str, bool]]:
    """The text divided at its outermost pairs of brackets: (piece without its brackets, whether it was in brackets)."""
    pairs, waiting = [], []
    for place, sign in enumerate(text):
        if sign == "(":
            waiting.append(place)
        elif sign == ")" and waiting:
            first = waiting.pop()
            while pairs and pairs[-1][0] > first:
                pairs.pop()
            pairs.append((first, place))
    found, done = [], 0
    for first, last in pairs:
        found += [(text[done:first], False), (text[first + 1:last], True)]
        done = last + 1
    return [(piece, is_bracketed) for piece, is_bracketed in [*found, (text[done:], False)] if piece]
