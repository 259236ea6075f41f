"""The folder of saved states: which there are, which a run in progress needs, and the deletion of old ones.

A state's name is the fingerprint of everything that its run depends on, so runs with equal stages share one file.
"""
from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Iterable

from .reservation import MACHINE, is_running

GIGABYTE, DAY = 1e9, 86_400.0
FRESH = 60.0  # seconds for which a file that was just used is kept in any case


@dataclass(frozen=True)
class Limits:
    """gigabytes of all states together, and days since a state was used; 0: no limit."""

    gigabytes: float = 20.0
    days: float = 30.0

    @classmethod
    def read(cls, value: Callable[[str], object]) -> "Limits":
        """value: gives a number or its text by the name of the limit; anything else means the default."""
        found = {}
        for name in ("gigabytes", "days"):
            with contextlib.suppress(TypeError, ValueError):
                number = float(value(name))
                if number >= 0:  # not NaN
                    found[name] = number
        return cls(**found)


@dataclass(frozen=True)
class StateFile:
    """used: time of the last use, seconds since 1970."""

    path: Path
    size: int
    used: float


class StateFolder:
    """Every process names the states that its run needs in a file of its own, .needed.MACHINE.PID, one a line."""

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)

    def files(self) -> list[StateFile]:
        """The states, the last used first."""
        found = []
        for path in self.path.glob("[!.]*.safetensors"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append(StateFile(path, facts.st_size, facts.st_mtime))
        return sorted(found, key=lambda file: file.used, reverse=True)

    def need(self, names: Iterable[str]) -> None:
        """Sets the states that the run of this process needs; none: it has ended."""
        own, names = self.path / f".needed.{MACHINE}.{os.getpid()}", sorted(names)
        with contextlib.suppress(OSError):  # a folder that cannot be written is told of when a state is saved
            if names:
                self.path.mkdir(parents=True, exist_ok=True)
                self.needed()  # removes what killed processes left
                own.write_text("\n".join(names), encoding="utf-8")
            else:
                own.unlink(missing_ok=True)

    def needed(self) -> set[str]:
        """Names of the states that runs in progress need. Forgets killed processes; those of other machines after a
        day."""
        names: set[str] = set()
        for marker in self.path.glob(".needed.*"):
            machine, _, pid = marker.name.removeprefix(".needed.").rpartition(".")
            with contextlib.suppress(OSError):
                if machine == MACHINE and pid.isdigit():
                    is_left = not is_running(int(pid))
                else:
                    is_left = time.time() - marker.stat().st_mtime > DAY
                if is_left:
                    marker.unlink()
                else:
                    names.update(marker.read_text(encoding="utf-8").split("\n"))
        return names

    def prune(self, limits: Limits, keep: Iterable[str] = ()) -> list[StateFile]:
        """Deletes states that were not used for `limits.days`, then the longest unused ones until all states fit in
        `limits.gigabytes`. Returns what it deleted. States that a run needs, those in `keep` and those used in the last
        minute stay, also beyond the limits."""
        files, removed, keep = self.files(), [], set(keep)
        total = sum(file.size for file in files)
        for file in reversed(files):
            age = time.time() - file.used
            is_over = (limits.gigabytes and total > limits.gigabytes * GIGABYTE) or (limits.days
                                                                                     and age > limits.days * DAY)
            # Read again for each file, because a run may have begun meanwhile.
            if not is_over or age < FRESH or file.path.name in keep | self.needed():
                continue
            with contextlib.suppress(OSError):
                file.path.unlink()
                removed.append(file)
                total -= file.size
        return removed
