"""The command line: distill3d run | list | states | doctor | train | evaluate | ablate | sync | layout | new.

Exit codes: 0 fine; 1 an error that the user can fix, in one line on stderr; 130 cancelled.
"""
from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace

from ..nodes.core.errors import Cancelled, DistillError, shortened
from . import listing, schema
from .options import add_models_option, parse_sets

TRAINING = "train_builtin_prior"


class _Parser(argparse.ArgumentParser):
    def error(self, message):
        raise DistillError(f'{message[:1].upper()}{message[1:]}. See "{self.prog} --help".')


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # closed ones
    debug = "--debug" in argv  # before parsing, which may fail itself
    try:
        parser = _parser()
        arguments, rest = parser.parse_known_args(argv)
        if arguments.command in ("evaluate", "ablate"):
            return _measure(arguments.command, rest)
        if rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        return COMMANDS[arguments.command](arguments)
    except (Cancelled, KeyboardInterrupt):
        sys.stderr.write("distill3d: cancelled\n")
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output is gone: say nothing more
        return 0
    except DistillError as error:
        if debug:
            traceback.print_exc()
        return _said(str(error))
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, OSError) and error.strerror:
            return _said(f"{error.filename or 'A file'}: {error.strerror}.")
        return _said(f"{type(error).__name__}: {error}. This error is not expected; --debug shows where it happened.")


def _said(text: str) -> int:
    sys.stderr.write(f"distill3d: error: {' '.join(shortened(text).split())}\n")
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="distill3d", description="Text or an image to a textured 3D asset, by distilling diffusion "
                     "models. Runs the pack's workflow files without ComfyUI.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="run a workflow file", description="Runs a workflow: a JSON file saved from "
                              "ComfyUI (either format), or the name of one that comes with the pack.")
    run.add_argument("workflow", metavar="WORKFLOW",
                     help='path of a JSON file, or a name from "distill3d list workflows"')
    run.add_argument("--resume", action="store_true", help="continue from the last saved state of each stage")
    run.add_argument("--continue", type=int, default=0, metavar="STEPS", dest="more", help="train the last stage STEPS "
                     "more than it has, from its latest saved state; earlier stages give their saved results")
    _add_run_options(run)

    train = commands.add_parser("train", help="train a built-in model anew", description="Runs a workflow that "
                                f"trains: {TRAINING}, or another.")
    train.add_argument("--workflow", default=TRAINING, help=f"a workflow file or name (default {TRAINING})")
    train.add_argument("--minutes", type=float, help="time to train")
    train.add_argument("--steps", type=int, help="steps to train, instead of minutes")
    _add_run_options(train)

    lists = commands.add_parser("list", help="nodes, one node, or workflows", description="Lists every node by room; "
                                "with a node's name its inputs; with \"workflows\" the files that come with the pack.")
    lists.add_argument("what", nargs="*", metavar="NODE | workflows", help="a node's name or id, or \"workflows\"")

    doctor = commands.add_parser("doctor", help="what is installed and what is missing")
    doctor.add_argument("--output", default="output", metavar="DIR", help="output folder to look at")
    add_models_option(doctor)
    doctor.add_argument("--device", help="device to look at")

    states = commands.add_parser("states", help="list saved states, or delete old ones", description="Lists the states "
                                 "from which runs are resumed and continued, or deletes those beyond the limits. Runs "
                                 "do the same after each state that they save.")
    states.add_argument("what", nargs="?", choices=("list", "prune"), default="list")
    states.add_argument("--output", default="output", metavar="DIR", help="the output folder whose states are meant")
    states.add_argument("--gigabytes", type=float, help="limit of all states together, 0: none (default: the "
                        "environment variable DISTILL3D_STATES_GIGABYTES, or 20)")
    states.add_argument("--days", type=float, help="limit of the days since a state was used, 0: none (default: the "
                        "environment variable DISTILL3D_STATES_DAYS, or 30)")

    layout = commands.add_parser("layout", help="a workflow file as a description", description="Prints a workflow as "
                                 "a description for workflows/methods/, from which `distill3d sync` writes its file.")
    layout.add_argument("--from", metavar="METHOD", dest="base", help="print the difference from another description")
    layout.add_argument("--write", action="store_true", help="write the workflow file of a description and lay it out "
                        "anew")
    layout.add_argument("workflow", metavar="WORKFLOW", help="path of a JSON file, or a name of one that comes with "
                        "the pack")

    sync = commands.add_parser("sync", help="write every generated file of the repository", description="Writes "
                               "labels, tables of help pages, frozen ids and workflows, each from its source.")
    sync.add_argument("--check", action="store_true", help="write nothing; exit with 1 if something is out of date")

    new = commands.add_parser("new", help="start a loss, prior, field or material", description="Writes a class, its "
                              "node, a test and the line in nodes/__init__.py; `distill3d sync` adds the rest.")
    new.add_argument("kind", choices=("loss", "prior", "field", "material"))
    new.add_argument("name", nargs="+", help='as in the menu, for example "Edge Loss"')

    commands.add_parser("ablate", help="a table of settings, compared (--help for its options)", add_help=False)
    commands.add_parser("evaluate", help="score results against known shapes (--help for its options)", add_help=False)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="sets",
                        help='change a value: prompt="a red cube", steps=100, Optimize.steps=100, 12.steps=100')
    parser.add_argument("--seed", type=int, help="for every seed in the workflow")
    parser.add_argument("--output", default="output", metavar="DIR", help="where files go (default: ./output)")
    parser.add_argument("--input", default="input", metavar="DIR", help="where Load Image looks (default: ./input)")
    add_models_option(parser)
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cuda if there is one)")
    parser.add_argument("--quiet", action="store_true", help="no progress; the written files only")
    parser.add_argument("--debug", action="store_true", help="show where an error happened")


def _run(arguments: argparse.Namespace) -> int:
    if arguments.more < 0:
        raise DistillError(f"--continue {arguments.more}: give the number of steps to add, 1 or more.")
    return _execute(arguments, arguments.workflow, parse_sets(arguments.sets), arguments.resume, arguments.more)


def _train(arguments: argparse.Namespace) -> int:
    short = {name: value for name, value in (("minutes", arguments.minutes), ("steps", arguments.steps))
             if value is not None}
    return _execute(arguments, arguments.workflow, {**short, **parse_sets(arguments.sets)}, False)


def _execute(arguments: argparse.Namespace, workflow: str, sets: dict, resume: bool, more: int = 0) -> int:
    from .console import Console
    from .run import run_workflow

    path = listing.find_workflow(workflow)
    host = Console(arguments.output, arguments.device, arguments.input, arguments.quiet,
                   models=arguments.models)
    began = time.monotonic()
    with host.listening(), host.writable_output():
        try:
            run_workflow(path, sets, arguments.seed, host, resume, more=more)
        except (Cancelled, DistillError):
            if host.written and not arguments.quiet:
                host.say("Written before the error:\n" + host.listing(time.monotonic() - began).rstrip())
            raise
    sys.stdout.write(host.listing(time.monotonic() - began))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    what = " ".join(arguments.what)
    if what == "workflows":
        text = listing.list_workflows()
    else:
        registry = schema.default_registry()
        text = listing.list_node(what, registry) if what else listing.list_nodes(registry)
    sys.stdout.write(text)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .console import Console
    from .doctor import examine, report

    findings = examine(Console(arguments.output, arguments.device, models=arguments.models))
    sys.stdout.write(report(findings))
    return 1 if any(one.status == "wrong" for one in findings) else 0


def _states(arguments: argparse.Namespace) -> int:
    from ..nodes.comfy import Host
    from ..nodes.core.state_folder import StateFolder
    from .states import listing as listed
    from .states import pruned

    given = {name: getattr(arguments, name) for name in ("gigabytes", "days") if getattr(arguments, name) is not None}
    for name, value in given.items():
        if not value >= 0:
            raise DistillError(f"--{name} {value:g}: give a number from 0.")
    host = Host(arguments.output)
    limits, folder = replace(host.state_limits(), **given), StateFolder(host.state_directory)
    sys.stdout.write(pruned(folder, limits) if arguments.what == "prune" else listed(folder, limits))
    return 0


def _sync(arguments: argparse.Namespace) -> int:
    from . import sync

    found = sync.out_of_date() if arguments.check else sync.write()
    for path in found:
        sys.stdout.write(f"{'out of date' if arguments.check else 'written'}: {path.relative_to(sync.PACK)}\n")
    return 1 if arguments.check and found else 0


def _layout(arguments: argparse.Namespace) -> int:
    from ..workflows.order import title_of
    from . import describe, sync
    from .method import named

    methods, registry = sync.methods(), schema.default_registry()
    for name in filter(None, (arguments.base, arguments.write and arguments.workflow)):
        if name not in methods:
            raise DistillError(f'layout: there is no description "{name}"{schema.close_to(name, methods)}.')
    if not arguments.write:
        method = describe.read(listing.find_workflow(arguments.workflow), registry)
        sys.stdout.write(describe.difference(named(method, registry), named(methods[arguments.base], registry),
                                             arguments.base) if arguments.base else describe.as_python(method))
        return 0
    path = sync.FOLDER / f"{title_of(arguments.workflow)}.json"
    path.write_text(sync.laid_out(methods[arguments.workflow], registry), encoding="utf-8")
    sys.stdout.write(f"written: {path}\n")
    return 0


def _new(arguments: argparse.Namespace) -> int:
    from . import scaffold

    for path in scaffold.write(arguments.kind, " ".join(arguments.name)):
        sys.stdout.write(f"{path}\n")
    return 0


COMMANDS = {"run": _run, "list": _list, "doctor": _doctor, "train": _train, "sync": _sync, "layout": _layout,
            "states": _states, "new": _new}


def _measure(command: str, rest: Sequence[str]) -> int:
    from . import ablate, evaluate

    module = {"ablate": ablate, "evaluate": evaluate}[command]
    parser = _Parser(prog=f"distill3d {command}", description=(module.__doc__ or "").strip().split("\n")[0])
    module.add_arguments(parser)
    return module.main(parser.parse_args(rest))
