"""What every node of the pack does besides its own work: it refuses numbers that are not finite before anything runs,
and hands the warnings of its run to the page and the history."""
from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Iterable, Mapping

from ..core.errors import DistillError
from ..core.schedule import Schedule
from .hosts import host
from .warnings import WARNINGS, collecting


class Shown(dict):
    """A node's `ui`. The host joins those of a node that runs once for each item of a list by the first one's names."""

    def __missing__(self, name: str) -> list:
        return []


def telling(execute: Callable) -> Callable:
    """`execute` of a node, with the warnings of its run in the `ui` of what it returns."""
    @functools.wraps(execute)
    def run(cls, *args: Any, **values: Any) -> Any:
        with collecting() as texts:
            host().begin()
            check_schedules(cls, execute, args, values)
            try:
                output = execute(cls, *args, **values)
            finally:
                host().end()
        ui = getattr(output, "ui", None)
        if texts or isinstance(ui, dict):
            output.ui = Shown({**(ui or {}), **({WARNINGS: texts} if texts else {})})
        return output

    return run


def check_schedules(cls: type, execute: Callable, args: tuple, values: Mapping[str, Any]) -> None:
    """The limits of a number widget hold for a Schedule on its wire too. Raises DistillError naming node and widget."""
    given = {**inspect.signature(execute).bind_partial(cls, *args).arguments, **values}
    schedules = {name: value for name, value in given.items() if isinstance(value, Schedule)}
    if not schedules:
        return
    schema = cls.define_schema()
    for entry in schema.inputs:
        for at, value in schedules[entry.id].keyframes if entry.id in schedules else ():
            widget = getattr(entry, "input_override", None) or entry
            low, high = getattr(widget, "min", None), getattr(widget, "max", None)
            if low is not None and value < low or high is not None and value > high:
                raise DistillError(f'{schema.display_name}: the schedule of "{entry.id}" has the value {value:g} at '
                                   f"{at:g}. The limits of this number are {_limits(low, high)}.")


def _limits(low: float | None, high: float | None) -> str:
    return f"{'none' if low is None else f'{low:g}'} to {'none' if high is None else f'{high:g}'}"


class Least(float):
    """The minimum of a number widget, below which is also what is no number. The host refuses a value only where
    `value < minimum` or `value > maximum`, which is false for NaN; an empty widget (None) cannot be compared at all."""

    def __gt__(self, value: Any) -> bool:
        try:
            return not float(value) >= float(self)
        except (TypeError, ValueError):
            return True


def folding(define_schema: Callable) -> Callable:
    """`define_schema` of a node, whose inputs that `advanced` names are folded in by the page until they are asked
    for."""
    @functools.wraps(define_schema)
    def define(cls) -> Any:
        schema = define_schema(cls)
        for entry in schema.inputs:
            if entry.id in cls.advanced:
                entry.advanced = True
        return schema

    return define


def refusing(define_schema: Callable) -> Callable:
    """`define_schema` of a node, with a Least for the minimum of each of its numbers: the host then refuses NaN at the
    node and by the name of the widget, before anything runs."""
    @functools.wraps(define_schema)
    def define(cls) -> Any:
        schema = define_schema(cls)
        _refuse(schema.inputs)
        return schema

    return define


def _refuse(inputs: Iterable[Any]) -> None:
    for entry in inputs:
        widget = getattr(entry, "input_override", None) or entry  # a number that also takes a wire
        if "FLOAT" in entry.get_io_type().split(",") and getattr(widget, "min", None) is not None:
            widget.min = Least(widget.min)
        for option in getattr(entry, "options", None) or ():
            _refuse(getattr(option, "inputs", ()))


def node_class(base: type) -> type:
    """The base class of the pack's nodes, over the host's `base`."""

    class Node(base):
        # The widgets that a person rarely changes. Not those that take a Schedule: their wires would end in nothing.
        advanced: tuple[str, ...] = ()

        # The host tells the page, and the history, what cached nodes have in their `ui` only where this says so.
        HAS_INTERMEDIATE_OUTPUT = True

        def __init_subclass__(cls, **options: Any):
            super().__init_subclass__(**options)
            for name, around in ("execute", telling), ("define_schema", lambda define: refusing(folding(define))):
                # The host copies a node's class for each run, and lets nobody change the copy.
                if name in cls.__dict__ and not hasattr(cls.__dict__[name].__func__, "__wrapped__"):
                    setattr(cls, name, classmethod(around(cls.__dict__[name].__func__)))

    return Node
