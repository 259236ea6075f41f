"""Damage for files: bytes that flip, go or double, numbers at their ends, and values of JSON in the wrong place."""

from __future__ import annotations

import copy
import random
import struct
from typing import Any

ENDS = [struct.pack("<I", value) for value in (0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)] + [
    struct.pack("<f", float("nan")),
    struct.pack("<f", float("inf")),
    struct.pack("<f", 1e38),
]
WORDS = [b"", b"0", b"-1", b"999999999999", b"nan", b"inf", b"1e400", b"\0", b"\xff\xfe", b"/", b"-", b"x" * 300]
VALUES = [
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    1e308,
    0.5,
    "",
    "x",
    "x" * 300,
    "\0",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [0] * 50,
    {"a": {"b": 1}},
    "nodes",
]


def damaged(data: bytes, seed: int) -> bytes:
    """The same for the same seed."""
    rng = random.Random(seed)
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 4, 16, 256)))
        match rng.randrange(7):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at:]
            case 2:
                del data[at:end]
            case 3:
                data[at:at] = data[at:end] * rng.choice((1, 2, 50))
            case 4:
                data[at : at + 4] = rng.choice(ENDS)
            case 5:
                data[at:end] = rng.choice(WORDS)
            case 6:
                other = rng.randrange(len(data) + 1)
                data[at:end] = data[other : other + end - at]
    return bytes(data)


def damaged_tree(tree: Any, seed: int) -> Any:
    """A copy of a JSON value with some of its parts replaced, removed or moved."""
    rng = random.Random(seed)
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = list(_places(tree))
        if not places:
            return rng.choice(VALUES)
        owner, key = rng.choice(places)
        match rng.randrange(5):
            case 0 | 1:
                owner[key] = copy.deepcopy(rng.choice(VALUES))
            case 2:
                del owner[key]
            case 3:
                other, name = rng.choice(places)
                owner[key] = copy.deepcopy(other[name])
            case 4 if isinstance(owner, list):
                owner.extend(copy.deepcopy(owner[key]) for _ in range(rng.choice((1, 3))))
            case _:
                if isinstance(owner, dict):
                    owner["x" * rng.choice((1, 300))] = owner.pop(key)
    return tree


def _places(tree: Any):
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in list(items):
        yield tree, key
        yield from _places(value)
