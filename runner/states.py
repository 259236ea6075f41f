"""The command `distill3d states`: lists saved states, and deletes old ones."""
from __future__ import annotations

import time
from pathlib import Path

from ..nodes.core.state import read_facts
from ..nodes.core.state_folder import DAY, Limits, StateFile, StateFolder
from .console import size_text


def listing(folder: StateFolder, limits: Limits) -> str:
    """One line for each state, the last used first, and the sum."""
    needed, files = folder.needed(), folder.files()
    lines = [f"{file.path.name}  {size_text(file.size):>9}  {_age(file):>8}  {_stage(file.path)}"
             f"{'  in use' if file.path.name in needed else ''}" for file in files]
    lines.append(f"{len(files)} {'state' if len(files) == 1 else 'states'}, {size_text(sum(f.size for f in files))} in "
                 f"{folder.path}. {_limits(limits)}")
    return "\n".join(lines) + "\n"


def pruned(folder: StateFolder, limits: Limits) -> str:
    """Deletes what is beyond the limits, and says what."""
    removed = folder.prune(limits)
    lines = [f"deleted: {file.path.name}  {size_text(file.size)}" for file in removed]
    left = folder.files()
    lines.append(f"{len(removed)} deleted, {len(left)} left, {size_text(sum(file.size for file in left))}. "
                 f"{_limits(limits)}")
    return "\n".join(lines) + "\n"


def _age(file: StateFile) -> str:
    days = (time.time() - file.used) / DAY
    return f"{days:.0f} d" if days >= 2 else f"{24 * days:.0f} h" if days >= 2 / 24 else f"{1440 * days:.0f} min"


def _stage(path: Path) -> str:
    facts = read_facts(path)
    if facts is None:
        return "damaged"
    return f"step {facts.get('step', '?')}, {'finished' if facts.get('finished') else 'can be resumed'}"


def _limits(limits: Limits) -> str:
    size = f"{limits.gigabytes:g} GB" if limits.gigabytes else "any size"
    return f"Limits: {size}, {f'{limits.days:g} days unused' if limits.days else 'any age'}."
