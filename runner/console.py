"""The host in a terminal: a progress bar, Ctrl-C, warnings and the list of files."""
from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from ..nodes.comfy import Host, Progress
from ..nodes.core.errors import DistillError, first_line


@contextlib.contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Gives a function for a handler of SIGINT: how many arrived since it was asked. Python calls a handler once for
    all signals that arrive while it runs compiled code, so two presses of Ctrl-C would count as one."""
    if os.name != "posix":  # there another thread may run the handler before the number is written
        yield lambda: 1
        return
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)

    def arrived() -> int:
        with contextlib.suppress(BlockingIOError):
            return os.read(reading, 4096).count(signal.SIGINT)
        return 0

    previous = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield arrived
    finally:
        signal.set_wakeup_fd(previous)
        os.close(reading)
        os.close(writing)


class Console(Host):
    """Progress and warnings go to `stream` (stderr), so that stdout holds results only.

    quiet   no progress; warnings stay
    models  the folder that models are looked for in, by kind: models/checkpoints, models/diffusers, ...; None:
            ./models, which may be missing. Raises DistillError if another one is missing
    """

    def __init__(self, output: str | os.PathLike = "output", device: str | None = None,
                 input: str | os.PathLike = "input", quiet: bool = False, stream: TextIO | None = None,
                 models: str | os.PathLike | None = None):
        super().__init__(output, _checked_device(device))
        self.quiet, self.stream = quiet, stream or sys.stderr
        self._input, self._models = Path(input), _checked_models(models)
        self._presses, self._finished_node = 0, None
        self._bar: ConsoleProgress | None = None

    @property
    def input_directory(self) -> Path:
        return self._input

    def model_folders(self, kind: str) -> list[Path]:
        return [self._models / kind]

    def progress(self, node_id: str | None, title: str, total: int) -> Progress:
        if self.quiet:
            return QuietProgress(node_id, title, total)
        self._bar = ConsoleProgress(node_id, title, total, self.stream)
        return self._bar

    def should_finish(self, node_id: str | None) -> bool:
        asked = super().should_finish(node_id)
        if asked:
            self._finished_node = node_id
        elif self._presses == 1 and self._finished_node not in (None, node_id):
            self._presses = 0  # another stage runs that can be finished: Ctrl-C means this one now
        return asked

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.say(f"warning: {text}")
        super().warn(text)

    def say(self, text: str) -> None:
        """Writes a line to the stream, above the bar if one is shown."""
        if self._bar is not None:
            self._bar.clear()
        self.stream.write(text + "\n")
        self.stream.flush()

    def interrupt(self, signum: int | None = None, frame: Any = None) -> None:
        """Handles Ctrl-C. The first ends the current stage and keeps its result, the second cancels the run.

        The third raises KeyboardInterrupt at once, for code that does not check for cancellation.
        """
        self._presses += 1
        if self._presses > 2:
            raise KeyboardInterrupt
        if self._presses == 1:
            self.finish_now(None)
        else:
            self.cancelled = True
        with contextlib.suppress(RuntimeError):  # the signal came in the middle of another line being written
            self.say("Finishing this stage and keeping its result. Press Ctrl-C again to cancel."
                     if self._presses == 1 else "Cancelling.")

    @contextlib.contextmanager
    def listening(self) -> Iterator["Console"]:
        """Inside, Ctrl-C calls `interrupt`. Has no effect in threads other than the main one."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        with _signals() as arrived:
            def handle(signum: int, frame: Any) -> None:
                for _ in range(arrived()):
                    self.interrupt(signum, frame)

            previous = signal.signal(signal.SIGINT, handle)
            try:
                yield self
            finally:
                signal.signal(signal.SIGINT, previous)
                if self._bar is not None:
                    self._bar.close()

    @contextlib.contextmanager
    def writable_output(self) -> Iterator[Path]:
        """Checks that the output folder is writable before the run, and removes it after the run if it is empty.

        Raises DistillError if it is not writable.
        """
        folder = self.output_directory
        made = [one for one in (folder, *folder.parents) if not one.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / f".distill3d_{os.getpid()}"
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            raise DistillError(f"Cannot write to the output folder {folder}: {error.strerror or error}. Choose another "
                               "with --output.") from None
        try:
            yield folder
        finally:
            for one in made:
                with contextlib.suppress(OSError):
                    one.rmdir()

    def listing(self, seconds: float) -> str:
        """The written files with their sizes, and the run time."""
        lines = [f"{path}  {size_text(path.stat().st_size)}" for path in dict.fromkeys(self.written) if path.exists()]
        if self.quiet:
            return "".join(f"{path}\n" for path in dict.fromkeys(self.written))
        lines.append(f"{len(lines)} {'file' if len(lines) == 1 else 'files'} in {time_text(seconds)}.")
        return "\n".join(lines) + "\n"


class QuietProgress(Progress):
    """Shows nothing and asks for no previews."""

    def is_due(self) -> bool:
        return False

    def update(self, step: int, text: str = "", image: Tensor | None = None, facts: dict | None = None) -> None: ...


class ConsoleProgress(Progress):
    """A tqdm bar on a terminal. Elsewhere, or without tqdm, a line every few seconds."""

    def __init__(self, node_id: str | None, title: str, total: int, stream: TextIO):
        super().__init__(node_id, title, total)
        self._stream, self._began, self._before = stream, time.monotonic(), None
        self._bar = _tqdm(stream, title, total) if stream.isatty() else None
        self.interval = 10.0 if self._bar is None else 0.5
        self._last = float("-inf")

    def update(self, step: int, text: str = "", image: Tensor | None = None, facts: dict | None = None) -> None:
        if self._before is None:  # a resumed run begins in the middle, which says nothing of its speed
            self._before = max(step - 1, 0)
            if self._bar is not None:
                self._bar.initial = self._before
        super().update(step, text, image, facts)

    def show(self, step: int, text: str, image: Tensor | None, facts: dict) -> None:
        text = ", ".join(f"{name} {number:.3g}" for name, number in list(facts.items())[:3]) or text
        if text.startswith(f"{self.title}: "):  # the share done, which the bar says already
            text = ""
        if self._bar is not None:
            self._bar.n = step
            self._bar.set_postfix_str(text, refresh=True)
        else:
            self._stream.write(self.line(step, time.monotonic() - self._began, text) + "\n")
            self._stream.flush()

    def line(self, step: int, seconds: float, text: str = "") -> str:
        """"Optimize 250/1000, 12.5 it/s, 1:00 left, opacity 0.2" after `seconds`."""
        done = step - (self._before or 0)
        parts = [f"{self.title} {step}/{self.total}"]
        if done > 0 and seconds > 0:
            rate = done / seconds
            parts.append(f"{rate:.3g} it/s" if rate >= 1 else f"{1 / rate:.3g} s/it")
            if step < self.total:
                parts.append(f"{time_text((self.total - step) / rate)} left")
        return ", ".join([*parts, text] if text else parts)

    def clear(self) -> None:
        if self._bar is not None:
            self._bar.clear()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def _tqdm(stream: TextIO, title: str, total: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=title, file=stream, dynamic_ncols=True, mininterval=0, leave=True)


def _checked_device(name: str | None) -> str | None:
    """The name of an available device. Raises DistillError for any other."""
    if name is None:
        return None
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except Exception as error:  # of a backend that is not there: RuntimeError, AssertionError, ImportError, ...
        reason = first_line(error)
        raise DistillError(f'Device "{name}" cannot be used here: {reason}. Leave --device out to let the program '
                           'choose, or use "cpu".') from None
    return str(device)


def _checked_models(folder: str | os.PathLike | None) -> Path:
    if folder is not None and not Path(folder).is_dir():
        raise DistillError(f'There is no models folder "{folder}". Give --models the folder that holds checkpoints, '
                           "diffusers and the like, for example ComfyUI's own.")
    return Path("models" if folder is None else folder)


def size_text(size: int) -> str:
    """Bytes in readable form: "340 B", "1.2 MB"."""
    if size < 1000:
        return f"{size} B"
    unit, name = next((unit, name) for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")) if size >= unit)
    return f"{size / unit:.1f} {name}"


def time_text(seconds: float) -> str:
    """Seconds in readable form: "4.2 s", "12:30", "2:05:00"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
