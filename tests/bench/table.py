"""Measurements as text."""
from __future__ import annotations

from typing import Any, Sequence

from .case import Row


def kernel_table(rows: Sequence[Row]) -> str:
    """One line for each op and backend; times of further backends also relative to the reference's."""
    lines = [("op", "size", "backend", "forward ms", "backward ms", "x forward", "peak MB")]
    has_floors = any(row.forward_floor for row in rows)
    if has_floors:  # how near to what the memory allows
        lines = [(*lines[0], "of floor")]
    reference: dict[tuple[str, str], Row] = {}
    for row in rows:
        first = reference.setdefault((row.op, row.size), row)
        lines.append((row.op, row.size, row.backend, _relative(row.forward, first.forward, row is first),
                      "-" if row.backward is None else _relative(row.backward, first.backward, row is first),
                      "-" if row.backward is None else f"{row.backward / row.forward:.1f}", _megabytes(row.peak),
                      *([_shares(row)] if has_floors else [])))
    return _aligned(lines, left=3)


def _shares(row: Row) -> str:
    """The floors of both passes as shares of their times."""
    pairs = (row.forward_floor, row.forward), (row.backward_floor, row.backward)
    return ", ".join(f"{floor / time:.0%}" for floor, time in pairs if floor and time) or "-"


def step_table(step: dict[str, Any]) -> str:
    """The parts of one step, and what share of it each takes."""
    parts, total = step["parts"], step["step"]
    lines = [("", *parts, "step", "steps/s", "peak MB"),
             ("ms", *(f"{time:.1f}" for time in parts.values()), f"{total:.1f}", f"{1e3 / total:.1f}",
              _megabytes(step["peak"])),
             ("share", *(f"{time / total:.0%}" for time in parts.values()), "", "", "")]
    return f"SDS step: {step['size']}\n{_aligned(lines, left=1)}"


def guided_table(found: dict[str, Any]) -> str:
    """A denoiser as a prior, and by its own library."""
    lines = [("", "prior", "diffusers", "ratio"),
             ("ms", f"{found['prior']:.0f}", f"{found['diffusers']:.0f}", f"{found['ratio']:.2f}")]
    return f"Guided denoise: {found['size']}\n{_aligned(lines, left=1)}"


def _relative(time: float, reference: float, is_first: bool) -> str:
    return f"{time:.2f}" if is_first else f"{time:.2f} ({time / reference:.2f}x)"


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:.1f}"


def _aligned(lines: Sequence[Sequence[str]], left: int) -> str:
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) if place < left else cell.rjust(width)
                               for place, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)
