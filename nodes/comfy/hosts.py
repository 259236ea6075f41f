"""What runs the nodes: folders and device, progress and cancelling, warnings, names of written files.

`Host` is the one of the command line and of tests. In ComfyUI, comfy_host.py puts its own in this one's place.
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
from ..core.tick import Tick
from .warnings import collect


class Progress:
    """Reports one node's work to whoever runs it, a few times a second however often it is called."""

    interval = 0.3
    shows_pictures = False  # whether a preview would be seen at all
    error: BaseException | None = None  # what ended the work before its end

    def __init__(self, node_id: str | None, title: str, total: int):
        self.node_id, self.title, self.total = node_id, title, total
        self._last = 0.0

    def is_due(self) -> bool:
        """True when a picture would be shown now: draw previews only then."""
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
    """What runs the nodes. This one is the stand-in: folders under the working directory, no display."""

    def __init__(self, output: str | os.PathLike = "output", device: str | None = None):
        self.output_directory = Path(output)
        self._device = device
        self.cancelled = False
        self.finishing: set[str] = set()
        self.written: list[Path] = []
        self.warnings: list[str] = []
        self._numbered: tuple[str | None, int] = None, 0  # a run and its number
        self._reserved: list[Path] = []
        self._when_cancelled: list[Callable[[], None]] = []

    @property
    def input_directory(self) -> Path:
        return Path("input")

    @property
    def state_directory(self) -> Path:
        """Where runs keep what they need to resume."""
        return self.output_directory / "distill3d_states"

    def model_folders(self, kind: str) -> list[Path]:
        """Folders searched for models of a kind, e.g. "diffusers"."""
        return [Path("models") / kind]

    def clip_tokenizer(self) -> Path | None:
        """A folder with CLIP's vocab.json and merges.txt, where the host has one."""
        return next((folder / "clip_tokenizer" for folder in self.model_folders("text_encoders")
                     if (folder / "clip_tokenizer" / "vocab.json").is_file()), None)

    def device(self) -> torch.device:
        return torch.device(self._device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def check(self) -> None:
        """Raises (Cancelled here, the host's own interrupt in ComfyUI) when the user cancelled the run."""
        if self.cancelled:
            self.cancel_stages()
            raise Cancelled("Cancelled by the user.")

    def when_cancelled(self, call: Callable[[], None]) -> None:
        """Keeps a call for the case that the run in progress is cancelled as a whole."""
        self._when_cancelled.append(call)

    def cancel_stages(self) -> None:
        """The run is cancelled: makes the calls that were kept for that."""
        calls, self._when_cancelled = self._when_cancelled, []
        for call in calls:
            call()

    def finish_now(self, node_id: str | None) -> None:
        """Asks the node's stage (None: whichever runs) to end as if its last step had been reached."""
        self.finishing.add(str(node_id))

    def should_finish(self, node_id: str | None) -> bool:
        """True once for each request."""
        asked = self.finishing & {str(node_id), "None"}
        self.finishing -= asked
        return bool(asked)

    def progress(self, node_id: str | None, title: str, total: int) -> Progress:
        return Progress(node_id, title, total)

    def panel(self, node_id: str | None) -> dict | None:
        """For a node's `ui`: what its result, cached, needs to bring back the live panel of the run that made it."""
        return None

    def begin(self) -> None:
        """A node begins to run."""

    def end(self) -> None:
        """A node has run, or failed."""
        reserved, self._reserved = self._reserved, []
        for path in reserved:
            release(path)

    def warn(self, text: str) -> None:
        """Something the user should know that stops nothing. It also stands in the `ui` of the node that runs."""
        collect(text)
        self.warnings.append(text)

    def free_memory(self, size: int) -> None:
        """Makes room for `size` bytes on the device before something large is allocated."""

    def read_splat_file(self, file: Any, node: str) -> Any:
        """The core SPLAT of a core File3D that is no PLY. Raises DistillError, beginning with `node`, where the host
        reads none."""
        raise DistillError(f"{node}: .{file.format} splats cannot be read here. Save it as .ply.")

    def save_path(self, prefix: str, extension: str) -> Path:
        """A new file name in the output folder: prefix (may name a subfolder), counter, extension without dot.

        The name is reserved: no other run gets it, and `end` gives it back where nothing was written. Raises
        DistillError when the prefix leaves the output folder, or that cannot be written.
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
        """One for all files of a run: the first that is free under each of the names that the run's nodes write to."""
        run, prefixes = self.run()
        if run is None or run != self._numbered[0]:
            stems = {stem, *(path for prefix in prefixes if root in (path := (root / dated(prefix)).resolve()).parents)}
            self._numbered = run, 1 + max(map(_highest, stems))
        return self._numbered[1]

    def run(self) -> tuple[str | None, list[str]]:
        """A name of the run in progress, None where each file counts for itself, and the file names that its nodes were
        given."""
        return None, []

    def notes(self, hidden: Any) -> dict[str, str]:
        """What a file carries of the workflow that made it: JSON by name.

        hidden  of a node that asks for the prompt and the PNG info
        """
        named = {"prompt": getattr(hidden, "prompt", None), **(getattr(hidden, "extra_pnginfo", None) or {})}
        return {name: json.dumps(value) for name, value in named.items() if value}

    def saved(self, path: Path) -> dict[str, str]:
        """Notes a written file; returns it as the host's front end names files."""
        self.written.append(Path(path))
        relative = Path(path).resolve().relative_to(self.output_directory.resolve())
        return {"filename": relative.name, "subfolder": str(relative.parent) if relative.parent != Path(".") else "",
                "type": "output"}


def _highest(stem: Path) -> int:
    """The highest number of the files that are called stem_00001_.glb and the like, 0 where there are none."""
    return max((int(match.group(1)) for path in (stem.parent.iterdir() if stem.parent.is_dir() else ())
                if (match := re.fullmatch(re.escape(stem.name) + r"_(\d+)_\..*", path.name))), default=0)


def dated(prefix: str) -> str:
    """A file name with ComfyUI's words for the time, %year% to %second%, filled in."""
    now = time.localtime()
    words = {"%year%": f"{now.tm_year}", "%month%": f"{now.tm_mon:02}", "%day%": f"{now.tm_mday:02}",
             "%hour%": f"{now.tm_hour:02}", "%minute%": f"{now.tm_min:02}", "%second%": f"{now.tm_sec:02}"}
    for word, value in words.items():
        prefix = prefix.replace(word, value)
    return prefix


_make: Callable[[], Host] = Host
_host: Host | None = None


def host() -> Host:
    """The present host."""
    global _host
    if _host is None:
        _host = _make()
    return _host


def set_default(make: Callable[[], Host]) -> None:
    """Says which host is there as long as none is set: `make` is called when it is first needed."""
    global _make
    _make = make


def set_host(new: Host | None) -> None:
    """Puts another host in place (the command line, a test); None returns to the default one."""
    global _host
    _host = new


def host_tick(node_id: str | None, title: str) -> Tick:
    """A Tick that moves the host's progress bar and raises when the user cancelled."""
    progress = host().progress(node_id, title, 100)

    def tick(share: float) -> None:
        host().check()
        progress.update(round(100 * share), f"{title}: {share:.0%}")
        if share >= 1:
            progress.close()

    return tick
