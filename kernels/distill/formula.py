"""Sums of predictions as text, such as "s text + (1 - s) negative - noise".

    formula      term, or several joined by + and -
    term         [coefficient] condition [@place]
    condition    text | negative | empty | noise | a text of its own in double quotes
    place        here (the default) | nearby | source, see terms.py
    coefficient  numbers, s (guidance scale), a (annealing, 0 to 1) and t (the timestep as a share, 0 to 1), joined by
                 + - * / and compared by < <= > >= (1 where true, 0 where false). Sums stand in parentheses
"""
from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from typing import Mapping

from torch import Tensor

HERE, NEARBY, SOURCE = "here", "nearby", "source"
TEXT, NEGATIVE, EMPTY, NOISE = "text", "negative", "empty", "noise"
PLACES, CONDITIONS = (HERE, NEARBY, SOURCE), (TEXT, NEGATIVE, EMPTY, NOISE)
NAMES = ("s", "a", "t")

Coefficient = float | Tensor  # a number, or [B] where it depends on the timestep

_TOKEN = re.compile(r'\s*("[^"]*"|[A-Za-z_]+|\d+\.?\d*|\.\d+|<=|>=|[-+*/()@<>])')
_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
              ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


@dataclass(frozen=True)
class Prediction:
    """One prediction: its condition, and the noisy image that the denoiser is given."""

    condition: str
    place: str = HERE


@dataclass(frozen=True)
class FormulaTerm:
    """sign * coefficient * prediction; `coefficient` is an expression in NAMES."""

    sign: int
    coefficient: str
    prediction: Prediction


def parse(formula: str) -> tuple[FormulaTerm, ...]:
    """The terms of a formula in their order. Raises ValueError with the piece that cannot be read."""
    signs, pieces, depth = [1], [[]], 0
    for token in _tokens(formula):
        depth += (token == "(") - (token == ")")
        if token in "+-" and depth == 0:
            if not pieces[-1] and len(pieces) == 1:  # the sign of the first term
                signs[-1] = -1 if token == "-" else 1
                continue
            signs.append(-1 if token == "-" else 1)
            pieces.append([])
        else:
            pieces[-1].append(token)
    return tuple(_term(sign, piece) for sign, piece in zip(signs, pieces))


def values(formula: tuple[FormulaTerm, ...], names: Mapping[str, Coefficient]) -> dict[Prediction, Coefficient]:
    """The coefficient of each prediction. Terms of one prediction are added; coefficients that are 0 are left out.

    names  numbers, or [B], for NAMES
    """
    total: dict[Prediction, Coefficient] = {}
    for term in formula:
        value = term.sign * _evaluate(ast.parse(term.coefficient, mode="eval").body, names)
        total[term.prediction] = total[term.prediction] + value if term.prediction in total else value
    return {key: value for key, value in total.items() if isinstance(value, Tensor) or value}


def _tokens(formula: str) -> list[str]:
    tokens, at = [], 0
    text = formula.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise ValueError(f'cannot read "{text[at:at + 20].strip()}" in the formula "{formula}"')
        tokens.append(found.group(1))
        at = found.end()
    return tokens


def _term(sign: int, piece: list[str]) -> FormulaTerm:
    shown, place = " ".join(piece), HERE
    if "@" in piece:
        if piece.index("@") != len(piece) - 2 or piece[-1] not in PLACES:
            raise ValueError(f'"{shown}": @ must be followed by one of {", ".join(PLACES)}')
        piece, place = piece[:-2], piece[-1]
    if not piece or not (piece[-1] in CONDITIONS or piece[-1].startswith('"')):
        raise ValueError(f'"{shown}" must end with one of {", ".join(CONDITIONS)}, or a text in double quotes')
    coefficient = " ".join(piece[:-1]) or "1"
    try:
        _evaluate(ast.parse(coefficient, mode="eval").body, dict.fromkeys(NAMES, 0.5))
    except ZeroDivisionError:
        pass
    except (SyntaxError, ValueError) as error:
        raise ValueError(f'"{coefficient}" before "{piece[-1]}" is no coefficient: numbers, {", ".join(NAMES)}, + - * '
                         f"/, comparisons and parentheses ({error})") from None
    return FormulaTerm(sign, coefficient, Prediction(piece[-1], place))


def _evaluate(node: ast.expr, names: Mapping[str, Coefficient]) -> Coefficient:
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return float(node.value)
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_evaluate(node.operand, names)
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_evaluate(node.left, names), _evaluate(node.right, names))
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
        left, right = _evaluate(node.left, names), _evaluate(node.comparators[0], names)
        holds = _OPERATORS[type(node.ops[0])](left, right)
        return holds.to(left if isinstance(left, Tensor) else right) if isinstance(holds, Tensor) else float(holds)
    raise ValueError(f'"{ast.unparse(node)}" is not known')
