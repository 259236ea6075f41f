"""The host: the program that runs the nodes. It provides folders, device, progress, cancellation, warnings, and names
of written files.

`Host` is the host of the command line and of tests. In ComfyUI, comfy_host.py replaces it.
"""
from __future__ import annotations

import glob
import json
import os
import re
import time
from pathlib import Path
from typing import Any, Callable

import torch
from torch import Tensor

from ..core.errors import Cancelled, DistillError, check_named
from ..core.reservation import release, reserve, sweep
from ..core.state_folder import Limits, StateFolder
from ..core.tick import Tick
from .warnings import collect


class Progress:
    """Reports the progress of one node to the host, at most a few times a second."""

    interval = 0.3
    shows_pictures = False  # whether anyone would see a preview
    error: BaseException | None = None  # the exception that ended the work early

    def __init__(self, node_id: str | None, title: str, total: int):
        self.node_id, self.title, self.total = node_id, title, total
        self._last = 0.0

    def is_due(self) -> bool:
        """Whether a picture would be displayed now. Draw previews only then."""
        return time.monotonic() - self._last >= self.interval

    def update(self, step: int, text: str = "", image: Tensor | None = None, facts: dict | None = None) -> None:
        """step of total; text: one line; image [H,W,3] in [0,1]; facts: numbers for charts."""
        if step >= self.total or self.is_due():
            self._last = time.monotonic()
            self.show(step, text, image, facts or {})

    def show(self, step: int, text: str, image: Tensor | None, facts: dict) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind, error, trace) -> None:
        self.error = error
        self.close()


class Host:
    """The host of the command line and of tests: folders under the working directory, no display."""

    def __init__(self, output: str | os.PathLike = "output", device: str | None = None):
        self.output_directory = Path(output)
        self._device = device
        self.cancelled = False
        self.finishing: set[str] = set()
        self.more: dict[str, int] = {}
        self.written: list[Path] = []
        self.warnings: list[str] = []
        self._numbered: tuple[str | None, int] = None, 0  # a run and its number
        self._reserved: list[Path] = []
        self.is_running = False  # whether a run goes on whose later stages may need the states of earlier ones
        self._needed: tuple[str | None, set[str]] = None, set()  # a run and the names of its states
        self._when_cancelled: list[Callable[[], None]] = []

    @property
    def input_directory(self) -> Path:
        return Path("input")

    @property
    def state_directory(self) -> Path:
        """The folder of the states from which runs resume."""
        return self.output_directory / "distill3d_states"

    def state_limits(self) -> Limits:
        """How many states are kept: the environment variables DISTILL3D_STATES_GIGABYTES and DISTILL3D_STATES_DAYS."""
        return Limits.read(lambda name: os.environ.get(f"DISTILL3D_STATES_{name.upper()}"))

    def need_state(self, path: Path) -> None:
        """Keeps a state, which may not exist yet, from being deleted while the current run goes on."""
        run, _ = self.run()
        if self._needed[0] != run:
            self.need_no_states(run)
        self._needed[1].add(path.name)
        StateFolder(self.state_directory).need(self._needed[1])

    def stage_ended(self) -> None:
        """Called when a stage has ended. Its state is still needed by the run that it is a stage of, if it is one."""
        if not self.is_running:
            self.need_no_states()

    def need_no_states(self, run: str | None = None) -> None:
        """Forgets the states of the last run: another one begins, or none."""
        if self._needed[1]:
            StateFolder(self.state_directory).need(())
        self._needed = run, set()

    def prune_states(self) -> None:
        """Deletes states beyond the limits."""
        StateFolder(self.state_directory).prune(self.state_limits(), self._needed[1])

    def model_folders(self, kind: str) -> list[Path]:
        """Folders searched for models of a kind, e.g. "diffusers"."""
        return [Path("models") / kind]

    def clip_tokenizer(self) -> Path | None:
        """A folder with CLIP's vocab.json and merges.txt, or None."""
        return next((folder / "clip_tokenizer" for folder in self.model_folders("text_encoders")
                     if (folder / "clip_tokenizer" / "vocab.json").is_file()), None)

    def device(self) -> torch.device:
        return torch.device(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def half_precision(self, device: torch.device, half: torch.dtype) -> torch.dtype:
        """The type in which a network computes: `half` (float16 or bfloat16), the other one where the device only
        emulates that, float32 where it has neither."""
        if device.type == "cuda" and half == torch.bfloat16:
            return half if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
        if device.type in ("cuda", "xpu"):
            return half
        return torch.float16 if device.type == "mps" else torch.float32

    def check(self) -> None:
        """Raises if the user cancelled the run: Cancelled here, ComfyUI's own interrupt there."""
        if self.cancelled:
            self.cancel_stages()
            raise Cancelled("Cancelled by the user.")

    def when_cancelled(self, call: Callable[[], None]) -> None:
        """Registers a call for the case that the current run is cancelled as a whole."""
        self._when_cancelled.append(call)

    def cancel_stages(self) -> None:
        """Makes the calls that were registered for a cancelled run."""
        calls, self._when_cancelled = self._when_cancelled, []
        for call in calls:
            call()

    def finish_now(self, node_id: str | None) -> None:
        """Requests that the stage of a node (None: the running one) ends as after its last step."""
        self.finishing.add(str(node_id))

    def should_finish(self, node_id: str | None) -> bool:
        """True once for each request."""
        asked = self.finishing & {str(node_id), "None"}
        self.finishing -= asked
        return bool(asked)

    def more_steps(self, node_id: str | None) -> int:
        """Steps that the user asked to add to the latest state of a node's run."""
        return self.more.get(str(node_id), 0)

    def progress(self, node_id: str | None, title: str, total: int) -> Progress:
        return Progress(node_id, title, total)

    def panel(self, node_id: str | None) -> dict | None:
        """For a node's `ui`: the data by which a cached result restores the live panel of its run."""
        return None

    def begin(self) -> None:
        """Called when a node begins to run."""

    def end(self) -> None:
        """Called when a node has finished or failed."""
        reserved, self._reserved = self._reserved, []
        for path in reserved:
            release(path)

    def warn(self, text: str) -> None:
        """Shows a warning, which does not stop the run. It is also added to the `ui` of the running node."""
        collect(text)
        self.warnings.append(text)

    def free_memory(self, size: int) -> None:
        """Frees memory for `size` bytes on the device before a large allocation."""

    def read_splat_file(self, file: Any, node: str) -> Any:
        """The core SPLAT of a core File3D other than PLY. Raises DistillError, beginning with `node`, if the host
        cannot read it."""
        raise DistillError(f"{node}: .{file.format} splats cannot be read here. Save it as .ply.")

    def save_path(self, prefix: str, extension: str) -> Path:
        """A new file name in the output folder: prefix (may name a subfolder), counter, extension without dot.

        The name is reserved for this run; `end` releases it if nothing was written. Raises DistillError if the prefix
        leaves the output folder or the folder is not writable.
        """
        check_named(prefix.rsplit("/", 1)[-1], "Saving", "file name", 'Write one, for example "distill3d/object", got '
                    f'"{prefix}".')
        prefix = dated(prefix)
        check_named(prefix, "Saving", "file name", "Shorten it.")
        root = self.output_directory.resolve()
        stem = (root / prefix).resolve()
        if root not in stem.parents:
            raise DistillError(f'File name "{prefix}" leads out of the output folder {root}. Use a plain name.')
        taken = f"{glob.escape(stem.name)}_"
        sweep(list(stem.parent.glob(f"{taken}*.{extension}")))
        number = self._number(root, stem)
        while True:  # a second file of the same run under the same name, or a run beside this one
            path = stem.parent / f"{stem.name}_{number:05d}_.{extension}"
            if not any(stem.parent.glob(f"{taken}{number:05d}_.*{extension}")) and reserve(path):
                self._reserved.append(path)
                return path
            number += 1

    def _number(self, root: Path, stem: Path) -> int:
        """One number for all files of a run: the first that is free for every name that the run's nodes write."""
        run, prefixes = self.run()
        if run is None or run != self._numbered[0]:
            stems = {stem, *(path for prefix in prefixes if root in (path := (root / dated(prefix)).resolve()).parents)}
            self._numbered = run, 1 + max(map(_highest, stems))
        return self._numbered[1]

    def run(self) -> tuple[str | None, list[str]]:
        """An identifier of the current run (None: each file is numbered by itself), and the file name prefixes of its
        nodes."""
        return None, []

    def notes(self, hidden: Any) -> dict[str, str]:
        """The metadata of written files about their workflow: JSON by name.

        hidden  the hidden inputs of a node with prompt and PNG info
        """
        named = {"prompt": getattr(hidden, "prompt", None), **(getattr(hidden, "extra_pnginfo", None) or {})}
        return {name: json.dumps(value) for name, value in named.items() if value}

    def saved(self, path: Path) -> dict[str, str]:
        """Records a written file. Returns its entry in the format of ComfyUI's front end."""
        self.written.append(Path(path))
        relative = Path(path).resolve().relative_to(self.output_directory.resolve())
        return {"filename": relative.name, "subfolder": str(relative.parent) if relative.parent != Path(".") else "",
                "type": "output"}


def _highest(stem: Path) -> int:
    """The highest number among files named like stem_00001_.glb; 0 if there are none."""
    return max((int(match.group(1)) for path in (stem.parent.iterdir() if stem.parent.is_dir() else ())
                if (match := re.fullmatch(re.escape(stem.name) + r"_(\d+)_\..*", path.name))), default=0)


def dated(prefix: str) -> str:
    """A file name with ComfyUI's placeholders for the time, %year% to %second%, filled in."""
    now = time.localtime()
    words = {"%year%": f"{now.tm_year}", "%month%": f"{now.tm_mon:02}", "%day%": f"{now.tm_mday:02}",
             "%hour%": f"{now.tm_hour:02}", "%minute%": f"{now.tm_min:02}", "%second%": f"{now.tm_sec:02}"}
    for word, value in words.items():
        prefix = prefix.replace(word, value)
    return prefix


_make: Callable[[], Host] = Host
_host: Host | None = None


def host() -> Host:
    """The current host."""
    global _host
    if _host is None:
        _host = _make()
    return _host


def set_default(make: Callable[[], Host]) -> None:
    """Sets the default host: `make` is called when the host is first needed."""
    global _make
    _make = make


def set_host(new: Host | None) -> None:
    """Replaces the host (for the command line or a test); None returns to the default host."""
    global _host
    _host = new


def host_tick(node_id: str | None, title: str) -> Tick:
    """A Tick that updates the host's progress bar and raises if the user cancelled."""
    progress = host().progress(node_id, title, 100)

    def tick(share: float) -> None:
        host().check()
        progress.update(round(100 * share), f"{title}: {share:.0%}")
        if share >= 1:
            progress.close()

    return tick
