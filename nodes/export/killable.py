"""Work in another process that can be stopped at any moment."""
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..core.errors import DistillError
from ..core.reservation import MACHINE, is_running
from ..core.tick import Tick, no_tick

POLL = 0.1
_FOLDER = f"distill3d_{MACHINE}_"  # what names of temporary folders begin with, before the process that made them


class TimeLimit(DistillError):
    """The work exceeded its time limit. Its process has been stopped."""

    __module__ = "distill3d"


def run_killable(script: Path, task: str, arrays: dict[str, Any], options: dict[str, Any], limit: float,
                 tick: Tick = no_tick) -> dict[str, Any]:
    """Runs `python script task folder` on numpy arrays and waits for it at most `limit` seconds.

    The script reads arrays and options (JSON) from input.npz in the folder and leaves output.npz there. No pickles, no
    fork, and the host needs no guarded main module.

    Returns the arrays of output.npz. Raises TimeLimit, or DistillError with the last line of the script's output when
    it fails; exceptions of `tick` are passed on. In every case the process has ended when this returns.
    """
    import numpy

    sweep_folders()
    with tempfile.TemporaryDirectory(prefix=f"{_FOLDER}{os.getpid()}_") as folder:
        numpy.savez(Path(folder) / "input.npz", options=json.dumps(options), **arrays)
        with open(Path(folder) / "words.txt", "w+b") as words:
            process = subprocess.Popen([sys.executable, str(script), task, folder], stdin=subprocess.DEVNULL,
                                       stdout=words, stderr=subprocess.STDOUT, cwd=folder,
                                       creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0))
            try:
                _wait(process, task, limit, tick)
            finally:
                process.kill()
                process.wait()
            words.seek(0)
            said = words.read().decode(errors="replace").strip().splitlines()
        if process.returncode != 0 or not (Path(folder) / "output.npz").exists():
            raise DistillError(f"The process for {task} failed with code {process.returncode}"
                               f"{': ' + said[-1] if said else ''}.")
        with numpy.load(Path(folder) / "output.npz", allow_pickle=False) as file:
            return dict(file)


def sweep_folders() -> None:
    """Removes the temporary folders of processes of this machine that were killed while they waited."""
    for left in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid = left.name.removeprefix(_FOLDER).split("_")[0]
        if pid.isdecimal() and not is_running(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _wait(process: subprocess.Popen, task: str, limit: float, tick: Tick) -> None:
    start = time.monotonic()
    while True:
        try:
            process.wait(POLL)
            return
        except subprocess.TimeoutExpired:
            passed = time.monotonic() - start
        if passed > limit:
            raise TimeLimit(f"The process for {task} was stopped after its time limit of {limit:g} s.")
        tick(passed / limit)
