"""Conditions of ComfyUI's models: values of CONDITIONING wires as rows, one per view, which can be stacked."""
from __future__ import annotations

from functools import cached_property
from typing import Any, Iterator, Sequence

import torch
from torch import Tensor

from ..core.errors import DistillError

RANGES = ("start_percent", "end_percent", "clip_start_percent", "clip_end_percent", "hooks")


class Row:
    """The condition of one view. It compares equal only to itself, so that it can be the key of prepared conditions.

    entries  [[embedding [1,L,C], {name: extra}], ...], as on a CONDITIONING wire
    role     "positive" or "negative" if the user connected it as such
    """

    def __init__(self, entries: list, role: str = ""):
        self.entries, self.role = entries, role

    @cached_property
    def layout(self) -> tuple:
        """Rows with the same layout can be stacked."""
        return tuple((_kind(embedding), *sorted((name, _kind(extra)) for name, extra in extras.items()))
                     for embedding, extras in self.entries)

    @cached_property
    def asks_the_time(self) -> bool:
        """Whether it applies to some noise levels only. ComfyUI then uses the noise level of the first row of a
        batch."""
        controls = [extras["control"] for _, extras in self.entries if extras.get("control") is not None]
        chain = [link for control in controls for link in _chain(control)]
        return (any(name in extras for _, extras in self.entries for name in RANGES)
                or any(tuple(getattr(control, "timestep_percent_range", (0.0, 1.0))) != (0.0, 1.0)
                       for control in chain))

    def lerp(self, other: "Row", weight: float) -> "Row":
        if weight == 0.0 or other is self:
            return self
        if weight == 1.0:
            return other
        if len(self.entries) != len(other.entries):
            raise _different()
        return Row([_lerp_entry(one, another, weight) for one, another in zip(self.entries, other.entries)])


class ModelCondition:
    """B rows as a Condition."""

    def __init__(self, rows: Sequence[Row]):
        self.rows = tuple(rows)

    def take(self, index: Tensor) -> "ModelCondition":
        return ModelCondition([self.rows[i] for i in index.tolist()])

    def join(self, rows: Sequence["ModelCondition"]) -> "ModelCondition":
        return ModelCondition([row for part in rows for row in part.rows])

    def lerp(self, other: "ModelCondition", weight: Tensor) -> "ModelCondition":
        return ModelCondition([one.lerp(another, share)
                               for one, another, share in zip(self.rows, other.rows, weight.tolist(), strict=True)])


def groups(conditions: Sequence[ModelCondition]) -> list[list[int]]:
    """Groups of views whose rows can be stacked in each of K conditions of B rows; usually one group of all."""
    found: dict[Any, list[int]] = {}
    for view, rows in enumerate(zip(*(condition.rows for condition in conditions), strict=True)):
        alone = view if any(row.asks_the_time for row in rows) else None
        found.setdefault((alone, *(row.layout for row in rows)), []).append(view)
    return list(found.values())


def stack(rows: Sequence[Row]) -> list:
    """The entries of rows with one layout, each tensor with a row per view. ComfyUI repeats a tensor with one row."""
    if all(row is rows[0] for row in rows):
        return rows[0].entries
    return [[_stack([embedding for embedding, _ in views]),
             {name: _stack([extras[name] for _, extras in views]) for name in views[0][1]}]
            for views in zip(*(row.entries for row in rows))]


def _kind(value: Any) -> tuple[str, str]:
    """A text that is equal for values that are equal or can be stacked. Always text, because layouts are sorted."""
    if isinstance(value, Tensor) and value.ndim and len(value) == 1:
        return "tensor", f"{tuple(value.shape)} {value.dtype}"
    if value is None or isinstance(value, (bool, int, float, str)):
        return type(value).__name__, repr(value)
    return "object", str(id(value))


def _stack(values: Sequence[Any]) -> Any:
    if isinstance(values[0], Tensor) and any(value is not values[0] for value in values):
        return torch.cat(list(values))
    return values[0]


def _lerp_entry(one: list, other: list, weight: float) -> list:
    (embedding, extras), (towards, others) = one, other
    if extras.keys() != others.keys():
        raise _different()
    return [_lerp(embedding, towards, weight), {name: _lerp(extras[name], others[name], weight) for name in extras}]


def _lerp(one: Any, other: Any, weight: float) -> Any:
    if one is other:
        return one
    if isinstance(one, Tensor) and isinstance(other, Tensor) and one.shape == other.shape and one.dtype == other.dtype:
        if one.is_floating_point():
            return torch.lerp(one, other, weight)
        if torch.equal(one, other):
            return one
    elif not isinstance(one, Tensor) and _kind(one) == _kind(other):
        return one
    raise _different()


def _different() -> DistillError:
    return DistillError("Prior from MODEL: the conditions of two view words have different layouts and cannot be "
                        "interpolated. Shorten the prompt, or choose view words that are not interpolated.")


def _chain(control: Any) -> Iterator[Any]:
    while control is not None:
        yield control
        control = getattr(control, "previous_controlnet", None)
