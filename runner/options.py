"""Options that several commands share."""
from __future__ import annotations

import argparse
from collections.abc import Sequence

from ..nodes.core.errors import DistillError


def add_models_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--models", metavar="DIR", help="where models lie, in folders named checkpoints, diffusers, "
                        "... as in ComfyUI's models folder (default: ./models)")


def parse_sets(pairs: Sequence[str]) -> dict[str, str]:
    """["a=1", ...] -> {"a": "1"}. Raises DistillError for an entry without a key or "="."""
    sets = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise DistillError(f'--set takes KEY=VALUE, got "{pair}". For example: --set steps=100')
        sets[key.strip()] = value
    return sets
