"""A grid: rows of settings, from options or a file."""
from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..nodes.core.errors import DistillError

FOLDER = Path(__file__).resolve().parents[1] / "workflows" / "grids"
KEYS = {"about", "workflow", "prompts", "seeds", "set", "axes", "rows"}


@dataclass(frozen=True)
class GridRow:
    """One line of the table: its name, its workflow, and the settings as `--set` takes them."""

    name: str
    workflow: str
    sets: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """rows; the prompts of each; the seeds of each prompt; what the grid shows."""

    rows: tuple[GridRow, ...]
    prompts: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    about: str = ""


def find_grid(name: str) -> Path:
    """A file, or a grid that comes with the pack. Raises DistillError with their names."""
    for path in (Path(name), FOLDER / f"{name}.json"):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.json")))
    raise DistillError(f'There is no grid "{name}". Give a JSON file, or one of: {known}.')


def read_grid(path: Path, workflow: str) -> Grid:
    """The grid in a JSON file:

        {"workflow": "dreamfusion", "prompts": ["a red cube"], "seeds": [0, 1], "set": {"steps": 100},
         "axes": {"SDS Loss.guidance": [3, 10]},
         "rows": [{"name": "plain"}, {"name": "VSD", "workflow": "variational", "set": {}}]}

    All are optional but one of axes and rows. Every row is run with every combination of the axes. Raises DistillError
    for anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DistillError(f"{path} cannot be read as a grid ({error}).") from error
    if not isinstance(content, dict) or not content.keys() <= KEYS or not content.keys() & {"axes", "rows"}:
        raise DistillError(f'{path} is no grid: it needs "axes" or "rows" and may have {", ".join(sorted(KEYS))}.')
    shared, workflow = content.get("set", {}), content.get("workflow", workflow)
    axes, listed = content.get("axes", {}), content.get("rows", [{}])
    right = (isinstance(shared, dict) and isinstance(axes, dict) and all(isinstance(one, list) for one in axes.values())
             and isinstance(listed, list) and all(isinstance(row, dict) and isinstance(row.get("set", {}), dict)
                                                  and row.keys() <= {"name", "workflow", "set"} for row in listed))
    if not right:
        raise DistillError(f'{path}: "set" and "axes" are objects, the values of an axis a list, and a row has "name", '
                           '"workflow" and "set".')
    rows = [GridRow(", ".join(filter(None, (row.get("name", ""), name))), row.get("workflow", workflow),
                    {**shared, **row.get("set", {}), **sets})
            for row in listed for name, sets in combinations(axes)]
    return _checked(Grid(tuple(rows), tuple(content.get("prompts", ())), tuple(content.get("seeds", (0,))),
                         content.get("about", "")))


def grid_of_options(options: Sequence[str], workflow: str, sets: Mapping[str, Any]) -> Grid:
    """["SDS Loss.guidance=3,10", ...]: a row for each combination. A value with commas stands in a file."""
    axes: dict[str, list[str]] = {}
    for option in options:
        key, equals, values = option.partition("=")
        if not equals or not key.strip():
            raise DistillError(f'--grid takes KEY=VALUE,VALUE, got "{option}". For example: --grid "SDS '
                               'Loss.guidance=3,10,30"')
        axes[key.strip()] = [value.strip() for value in values.split(",")]
    return _checked(Grid(tuple(GridRow(name or "as it is", workflow, {**sets, **row})
                               for name, row in combinations(axes))))


def combinations(axes: Mapping[str, Sequence[Any]]) -> list[tuple[str, dict[str, Any]]]:
    """(name, settings) of each combination of the axes' values, the last axis changing first."""
    found = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
    return [(", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in sets.items()), sets) for sets in found]


def _checked(grid: Grid) -> Grid:
    names = [row.name for row in grid.rows]
    if not names or not all(names) or len(set(names)) < len(names):
        raise DistillError(f"The rows of a grid need different names, these are: {names}.")
    if not grid.seeds or not all(isinstance(seed, int) for seed in grid.seeds):
        raise DistillError(f"The seeds of a grid are whole numbers, these are: {list(grid.seeds)}.")
    return grid
