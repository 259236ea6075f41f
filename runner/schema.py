"""The inputs and outputs of a node's schema, in the terms of a workflow file.

A widget is an input with a value of its own; every other input needs a wire. The rules follow the front end: the
socket type decides, a MultiType input shows the widget of its first type, `force_input` removes the widget.
"""
from __future__ import annotations

import difflib
import functools
import math
from collections.abc import Iterable, Mapping
from enum import EnumMeta
from typing import Any

from ..nodes.comfy import FileNames
from ..nodes.core.errors import DistillError

Registry = Mapping[str, type]
"""Node classes by node id."""

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
CONTROL_MODES = ("fixed", "increment", "decrement", "randomize")
_EMPTY = {"INT": 0, "FLOAT": 0.0, "STRING": "", "BOOLEAN": False}
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def default_registry() -> dict[str, type]:
    """Every node of the pack, and the stand-ins for the core nodes that graphs need."""
    from ..nodes import node_list
    from .core_nodes import core_nodes
    return registry_of([*core_nodes(), *node_list()])


def registry_of(classes: Iterable[type]) -> dict[str, type]:
    return {schema_of(node).node_id: node for node in classes}


@functools.lru_cache(maxsize=None)
def schema_of(node: type) -> Any:
    return node.define_schema()


def inputs_of(node: type) -> dict[str, Any]:
    """The inputs of a node class by name, in schema order."""
    return {entry.id: entry for entry in schema_of(node).inputs}


def outputs_of(node: type) -> list[Any]:
    return list(schema_of(node).outputs)


def display_name(node: type) -> str:
    return schema_of(node).display_name or schema_of(node).node_id


def is_output(node: type) -> bool:
    return bool(schema_of(node).is_output_node)


def is_lenient(node: type) -> bool:
    """True for stand-ins of core nodes, whose files may have inputs that are unknown here."""
    return getattr(node, "lenient", False)


def known_names(node: type) -> dict[str, str]:
    """Other names of inputs in files: {name in the file: input}."""
    return getattr(node, "other_names", {})


def widget_type(entry: Any) -> str | None:
    """"INT", "FLOAT", "STRING", "BOOLEAN" or "COMBO"; None for an input that needs a wire."""
    kind = getattr(entry, "widget_type", None) or entry.get_io_type()
    return kind if kind in WIDGETS and not entry.force_input else None


def widgets_of(node: type) -> list[Any]:
    """The inputs that have a widget, in the order of `widgets_values`."""
    return [entry for entry in schema_of(node).inputs if widget_type(entry)]


def has_control(entry: Any) -> bool:
    """True if the front end saves a second value, the control mode, after this one."""
    flag = entry.control_after_generate
    return bool(flag) if flag is not None else widget_type(entry) == "INT" and entry.id in ("seed", "noise_seed")


def socket_types(slot: Any) -> set[str]:
    return set(slot.get_io_type().split(","))


def may_connect(output: Any, entry: Any) -> bool:
    """True if the host accepts a wire from this output to this input."""
    given, taken = socket_types(output), socket_types(entry)
    return "*" in given or "*" in taken or bool(given & taken)


def choices(entry: Any) -> list[Any] | None:
    """The options of a COMBO; None if they are not known here."""
    options = _options(entry)
    if isinstance(options, EnumMeta):
        options = [option.value for option in options]
    return list(options) if options is not None else None


def names_files(entry: Any) -> bool:
    """True for a COMBO whose options are files on this machine. A file that is missing is not an error of the graph;
    the node reports it when it runs."""
    return isinstance(_options(entry), FileNames)


def _options(entry: Any) -> Any:
    return entry.options.get("options") if isinstance(entry.options, dict) else entry.options


def default_of(entry: Any) -> Any:
    """The value of an untouched widget."""
    if entry.default is not None:
        return entry.default
    if widget_type(entry) == "COMBO":
        return next(iter(choices(entry) or ()), "")
    return _EMPTY[widget_type(entry)]


def plain_value(entry: Any, value: Any) -> Any:
    """`value` (from a file, or text from a command line) as the type of the widget.

    Raises DistillError with what is wrong and what is allowed.
    """
    kind = widget_type(entry)
    if kind in ("INT", "FLOAT"):
        return _number(entry, value, whole=kind == "INT")
    if kind == "BOOLEAN":
        known = _WORDS.get(str(value).strip().lower())
        if known is None:
            raise DistillError(f'"{entry.id}" is {_show(value)}, which is neither true nor false.')
        return known
    if kind == "COMBO":
        return _choice(entry, value)
    if isinstance(value, (dict, list)) or value is None:
        raise DistillError(f'"{entry.id}" is {_show(value)}, where a text belongs.')
    return str(value)


def _number(entry: Any, value: Any, whole: bool) -> int | float:
    kind = "whole number" if whole else "number"
    try:
        if isinstance(value, bool):
            raise ValueError
        number = int(value) if whole and isinstance(value, str) else float(value)
        if whole and not isinstance(value, str):
            number = value if isinstance(value, int) else int(value)
            if number != value:
                raise ValueError
        if not math.isfinite(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DistillError(f'"{entry.id}" is {_show(value)}, which is not a {kind}. {_range(entry, kind)}') from None
    if entry.min is not None and number < entry.min:
        raise DistillError(f'"{entry.id}" is {number}, below its minimum {entry.min}. {_range(entry, kind)}')
    if entry.max is not None and number > entry.max:
        raise DistillError(f'"{entry.id}" is {number}, above its maximum {entry.max}. {_range(entry, kind)}')
    return number


def _range(entry: Any, kind: str) -> str:
    if entry.min is None or entry.max is None:
        return f"Give a {kind}."
    return f"Give a {kind} from {entry.min} to {entry.max}."


def _choice(entry: Any, value: Any) -> Any:
    options = choices(entry)
    if options is None or value in options or (names_files(entry) and isinstance(value, str)):
        return value
    for option in options:
        if str(option) == str(value):
            return option
    listed = ", ".join(f'"{option}"' for option in options[:20]) + (", ..." if len(options) > 20 else "")
    raise DistillError(f'"{entry.id}" is {_show(value)}, which is not an option{close_to(str(value), options)}. '
                       f"Choose one of: {listed or 'none are available'}.")


def close_to(name: str, known: Iterable[Any]) -> str:
    """" (did you mean ...?)" with the known names most similar to `name`; empty if none is similar."""
    lowered = {str(one).lower(): str(one) for one in known}
    near = [lowered[one] for one in difflib.get_close_matches(str(name)[:100].lower(), lowered, n=3, cutoff=0.6)]
    return " (did you mean " + " or ".join(f'"{one}"' for one in near) + "?)" if near else ""


def _show(value: Any) -> str:
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
