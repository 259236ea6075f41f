"""Evaluate: runs a workflow on prompts whose true shape is known and measures the results."""
from __future__ import annotations

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from ..nodes.comfy import set_host
from ..nodes.core.errors import DistillError
from ..nodes.evaluate.prompts import STANDARD, read_prompts
from ..nodes.evaluate.table import summary_line
from ..nodes.models.builtin import BUILTIN_CLIP
from ..nodes.models.model_files import BUILT_IN, locate
from ..nodes.models.weights_digest import weights_digest
from .console import Console
from .evaluation import Evaluation
from .listing import find_workflow
from .options import add_models_option, parse_sets
from .product import WorkflowProducer
from .workflow_file import read_graph

DEFAULT_WORKFLOW = "dreamfusion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `distill3d evaluate`."""
    parser.add_argument("--seed", type=int, default=0, help="of every run (default 0)")
    add_run_arguments(parser, "output/evaluation")


def add_run_arguments(parser: argparse.ArgumentParser, output: str) -> None:
    """The options that `distill3d evaluate` and `distill3d ablate` share."""
    parser.add_argument("--workflow", default=None,
                        help=f"a workflow file, or the name of a shipped one (default {DEFAULT_WORKFLOW})")
    parser.add_argument("--prompts", default=None, metavar="FILE",
                        help="captions of shapes, one per line (default for evaluate: the standard list of 24)")
    parser.add_argument("--only", type=int, default=0, metavar="N", help="only the first N prompts of the list")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
                        help="change a value, as in run: steps=100")
    parser.add_argument("--clip", nargs="?", const=BUILT_IN, default="", metavar="MODEL",
                        help="also rank the captions by a CLIP: the built-in one, or a folder below the models")
    parser.add_argument("--output", default=output, metavar="DIR",
                        help="for tables, contact_sheet.png and what the workflow saves")
    parser.add_argument("--resume", action="store_true", help="keep the rows that an earlier call measured with "
                        "the same workflow, settings and weights; not after a change of code")
    parser.add_argument("--quick", action="store_true",
                        help="run only what is measured, the scene and its bare mesh: no texture, no files")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="prompts at once (default 1)")
    add_models_option(parser)
    parser.add_argument("--device", default=None, help="cpu, cuda, ... (default: the fastest there is)")
    parser.add_argument("--quiet", action="store_true", help="no progress of single runs; a line for each prompt stays")
    parser.add_argument("--debug", action="store_true", help="show where an error happened")


def main(arguments: argparse.Namespace) -> int:
    """Runs `distill3d evaluate`; 0 when every prompt has a result, else 1.

    Raises DistillError before anything runs if the list, the workflow or a setting is wrong.
    """
    if arguments.only < 0 or arguments.jobs < 1:
        raise DistillError(f"--only is {arguments.only} and --jobs is {arguments.jobs}. "
                           "Give --only 0 (all) or more, and --jobs 1 or more.")
    prompts, sets = read_prompts(arguments.prompts or STANDARD), parse_sets(arguments.sets)
    host = Console(arguments.output, arguments.device, models=arguments.models)
    evaluation = prepared(arguments, host, tuple(prompts),
                          arguments.workflow or DEFAULT_WORKFLOW, sets, arguments.seed, arguments.output)
    with host.writable_output():
        rows = evaluation.run(arguments.output, arguments.only, arguments.resume, arguments.jobs, host.say)
    sys.stdout.write(f"{summary_line(rows)}\n{Path(arguments.output) / 'table.md'}\n")
    return 1 if any(row.iou is None for row in rows) else 0


def prepared(arguments: argparse.Namespace, host: Console, prompts: tuple[str, ...], workflow: str,
             sets: dict[str, Any], seed: int, output: str | Path, keeps: bool = False) -> Evaluation:
    """The evaluation of a workflow with some settings. Of the arguments, what all evaluations of a command share:
    quick, quiet, jobs, models, clip. Raises DistillError if the workflow or a setting is wrong."""
    graph = read_graph(find_workflow(workflow))
    produce = WorkflowProducer(graph, sets, Path(output) / "files", str(host.device()),
                               quiet=arguments.quiet or arguments.jobs > 1, quick=arguments.quick,
                               models=arguments.models)
    weights = produce.weights(prompts[0], seed)
    content = hashlib.sha256(json.dumps(graph.to_api(), sort_keys=True).encode()).hexdigest()[:16]
    facts = {"workflow": f"{graph.name} ({content})", "set": sets, "weights": weights, "quick": arguments.quick,
             "device": str(host.device())}
    clip = ""
    if arguments.clip:
        set_host(host)
        clip = str(locate(arguments.clip, "--clip", "clip_vision", "diffusers", shipped=BUILTIN_CLIP))
        facts["clip"] = f"{arguments.clip} ({weights_digest(clip)})"
    return Evaluation(prompts, produce, seed, device=str(host.device()), facts=facts, clip=clip, keeps=keeps)
