"""Ablate: runs a table of settings on prompts whose true shape is known, and shows what each setting does."""
from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from ..nodes.core.errors import DistillError
from ..nodes.evaluate.prompts import STANDARD, read_prompts
from .ablation import Ablation
from .console import Console
from .evaluate import DEFAULT_WORKFLOW, add_run_arguments, prepared
from .grid import Grid, find_grid, grid_of_options, read_grid
from .options import parse_sets

PROMPTS = ("a red cube", "a blue sphere on top of a green cylinder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `distill3d ablate`."""
    parser.add_argument("grid", nargs="?", metavar="GRID",
                        help='a JSON file, or the name of a shipped grid, e.g. "seeds"')
    parser.add_argument("--grid", action="append", default=[], dest="axes", metavar="KEY=A,B,C",
                        help='an axis instead of a file, e.g. "SDS Loss.guidance=3,10"; several give all combinations')
    parser.add_argument("--prompt", action="append", default=[], metavar="CAPTION", dest="captions",
                        help="what every row makes; may be given several times")
    parser.add_argument("--seeds", default="", metavar="N,N", help="seeds of every run; two or more give the diversity")
    add_run_arguments(parser, "output/ablation")


def main(arguments: argparse.Namespace) -> int:
    """Runs `distill3d ablate`; 0 when every run has a result, else 1. Raises DistillError before anything runs if the
    grid, a workflow or a setting is wrong."""
    grid = _grid(arguments)
    prompts = tuple(arguments.captions or grid.prompts or (
        read_prompts(arguments.prompts) if arguments.prompts else PROMPTS))
    # Precision ranks the prompts among those of the standard list; only the prompts themselves are run.
    candidates = tuple(dict.fromkeys((*prompts, *read_prompts(STANDARD))))
    prompts = prompts[:arguments.only or None]
    host, output = Console(arguments.output, arguments.device, models=arguments.models), Path(arguments.output)

    def build(row, seed, folder):
        return prepared(arguments, host, candidates, row.workflow, dict(row.sets), seed, folder, keeps=True)

    for row in grid.rows:  # what cannot run is said before the first hour
        build(row, grid.seeds[0], output)
    with host.writable_output():
        lines = Ablation(grid, prompts, build).run(output, arguments.resume, arguments.jobs, host.say)
    sys.stdout.write((output / "table.md").read_text(encoding="utf-8"))
    return 1 if any(line["failed"] for line in lines) else 0


def _grid(arguments: argparse.Namespace) -> Grid:
    if bool(arguments.grid) == bool(arguments.axes):
        raise DistillError("Give the grid either as a file or name, or by --grid KEY=A,B,C.")
    workflow, sets = arguments.workflow or DEFAULT_WORKFLOW, parse_sets(arguments.sets)
    if arguments.grid:
        grid = read_grid(find_grid(arguments.grid), workflow)
        grid = replace(grid, rows=tuple(replace(row, sets={**row.sets, **sets}) for row in grid.rows))
    else:
        grid = grid_of_options(arguments.axes, workflow, sets)
    if not arguments.seeds:
        return grid
    try:
        return replace(grid, seeds=tuple(int(seed) for seed in arguments.seeds.split(",")))
    except ValueError:
        raise DistillError(f'--seeds takes whole numbers, got "{arguments.seeds}". For example: --seeds 0,1,2') \
            from None
