"""A short name of a run, under which its state is saved."""
from __future__ import annotations

import dataclasses
import hashlib
from typing import Any, Mapping

import torch
from torch import Tensor

from ..core.scene import UNCOUNTED
from ..core.schedule import Schedule


def fingerprint(*parts: Any) -> str:
    """20 hexadecimal digits: equal recipes give equal names, in every process.

    Dataclasses, tuples, numbers, strings and tensors count by their content. Of a dataclass count the name of the class
    (not its module) and the fields that differ from their defaults: a recipe that gets a new field with a default keeps
    its name, and its saved runs can be resumed. Fields with the metadata UNCOUNTED never count.

    Raises TypeError for an object whose text holds its address.
    """
    digest = hashlib.sha256()
    _feed(digest, parts)
    return digest.hexdigest()[:20]


def _feed(digest, part: Any) -> None:
    if isinstance(part, Tensor):
        digest.update(str((part.dtype, tuple(part.shape))).encode())
        digest.update(part.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif dataclasses.is_dataclass(part) and not isinstance(part, type):
        digest.update(type(part).__name__.encode())
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if not (UNCOUNTED.items() <= field.metadata.items() or _is_default(field, value)):
                digest.update(field.name.encode())
                _feed(digest, value)
        digest.update(b";")
    elif isinstance(part, Mapping):
        for key in sorted(part):
            digest.update(str(key).encode())
            _feed(digest, part[key])
    elif isinstance(part, (tuple, list)):
        digest.update(b"(")
        for item in part:
            _feed(digest, item)
        digest.update(b")")
    elif isinstance(part, (set, frozenset)):  # their order differs between processes
        _feed(digest, sorted(part))
    else:
        text = repr(part)
        if " at 0x" in text:
            raise TypeError(f"{type(part).__name__} has no stable text: make it a frozen dataclass or give it a "
                            "__repr__")
        digest.update(text.encode() + b";")


def length_dependent(*parts: Any) -> list[str]:
    """Names of the numbers in a recipe that follow the length of the run: schedules over fractions of it, and fractions
    themselves. Each name once, in the order of the recipe."""
    names: dict[str, None] = {}

    def look(part: Any, name: str) -> None:
        if isinstance(part, Schedule):
            if part.unit == "fraction" and len(part.keyframes) > 1:
                names[name] = None
        elif dataclasses.is_dataclass(part) and not isinstance(part, type):
            for field in dataclasses.fields(part):
                value = getattr(part, field.name)
                if field.name == "rates" and any(isinstance(rate, tuple) for _, rate in value):
                    names["rates"] = None
                else:
                    look(value, field.name)
        elif isinstance(part, Mapping):
            for key, value in part.items():
                look(value, str(key))
        elif isinstance(part, (tuple, list)):
            for item in part:
                look(item, name)
        elif name.endswith("_fraction") and isinstance(part, float) and 0 < part < 1:
            names[name] = None

    look(parts, "")
    return list(names)


def _is_default(field: dataclasses.Field, value: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        default = field.default
    elif field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    else:
        return False
    if value is default or type(value) in (int, float) and type(default) in (int, float):
        return value == default
    return default is not None and fingerprint(value) == fingerprint(default)
