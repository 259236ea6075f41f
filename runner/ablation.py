"""An ablation: the same prompts under several settings, in one table and one sheet of pictures."""
from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from torch import Tensor

from ..nodes.core.state import write_atomically
from ..nodes.evaluate.sheet import contact_sheet, read_picture
from ..nodes.evaluate.table import Row, summarize
from .evaluation import Evaluation, file_name
from .grid import Grid, GridRow

COLUMNS = {"IoU": ("iou_mean", 3), "PSNR dB": ("psnr_mean", 1), "normal error °": ("normal_error_mean", 1),
           "saturation": ("saturation_mean", 2), "colour": ("color_right", 0), "textureless": ("textureless_right", 0),
           "CLIP colour": ("clip_color_mean", 3), "CLIP textureless": ("clip_textureless_mean", 3),
           "one nose": ("one_nose", 0), "diversity": ("diversity", 4), "runs": ("objects", 0), "failed": ("failed", 0),
           "s": ("seconds_median", 1)}


@dataclass(frozen=True)
class Ablation:
    """What is run.

    grid     rows of settings
    prompts  that every row makes
    build    (row, seed, folder) -> the Evaluation of one row with one seed, which keeps its pictures. Its list of
             prompts begins with `prompts`
    """

    grid: Grid
    prompts: tuple[str, ...]
    build: Callable[[GridRow, int, Path], Evaluation]

    def run(self, folder: Path, resume: bool = False, jobs: int = 1,
            report: Callable[[str], None] = lambda line: None) -> list[dict[str, Any]]:
        """Measures every row, and writes table.md, table.csv and contact_sheet.png after each of them.

        Runs lie in folder/ROW/seed_N, as `distill3d evaluate` writes them, and are resumed in the same way. Returns a
        line for each row: its name, the means of `summarize` over prompts and seeds, and the diversity.
        """
        lines: list[dict[str, Any]] = []
        for number, row in enumerate(self.grid.rows, 1):
            measured: list[Row] = []
            for seed in self.grid.seeds:
                place = self.place(folder, row, seed)
                report(f"{number}/{len(self.grid.rows)} {row.name}, seed {seed}")
                measured += self.build(row, seed, place).run(place, len(self.prompts), resume, jobs, report)
            lines.append({"name": row.name, **summarize(measured), "diversity": self._diversity(folder, row)})
            self._write(folder, lines)
        return lines

    def place(self, folder: Path, row: GridRow, seed: int) -> Path:
        return folder / re.sub(r"[^a-z0-9.]+", "_", row.name.lower()).strip("_") / f"seed_{seed}"

    def _diversity(self, folder: Path, row: GridRow) -> float | None:
        """The mean over prompts of `diversity` between the seeds; None for a single seed."""
        found = []
        for prompt in self.prompts:
            paths = [self.place(folder, row, seed) / "rows" / f"{file_name(prompt)}.views.png"
                     for seed in self.grid.seeds]
            value = diversity([read_picture(path) for path in paths if path.exists()])
            found += [] if value is None else [value]
        return mean(found) if found else None

    def _write(self, folder: Path, lines: Sequence[dict[str, Any]]) -> None:
        shown = {title: name for title, (name, _) in COLUMNS.items() if any(self._tells(line, name) for line in lines)}
        table = [[line["name"], *(_show(line[name], COLUMNS[title][1]) for title, name in shown.items())]
                 for line in lines]
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["settings", *shown], *table])
        write_atomically(folder / "table.csv", text.getvalue().encode())
        write_atomically(folder / "table.md", self._markdown(list(shown), table).encode())
        first = [(row, prompt) for row in self.grid.rows[:len(lines)] for prompt in self.prompts]
        pictures = [(f"{row.name}: {prompt}",
                     self.place(folder, row, self.grid.seeds[0]) / "rows" / f"{file_name(prompt)}.shown.png")
                    for row, prompt in first]
        contact_sheet(folder / "contact_sheet.png", [(title, path if path.exists() else None)
                                                     for title, path in pictures])

    def _tells(self, line: dict[str, Any], name: str) -> bool:
        """Whether a column has something to say in a line."""
        if name in ("one_nose", "failed"):
            return bool(line["nosed" if name == "one_nose" else "failed"])
        return line[name] is not None

    def _markdown(self, titles: list[str], table: list[list[str]]) -> str:
        seeds = ", ".join(map(str, self.grid.seeds))
        return "\n".join([
            "# Ablation", "", *([self.grid.about, ""] if self.grid.about else []),
            f"| settings | {' | '.join(titles)} |", "|---|" + "---:|" * len(titles),
            *(f"| {' | '.join(line)} |" for line in table), "",
            "Means over prompts and seeds. colour, textureless: runs whose own prompt's true object is nearest. "
            "Diversity: root mean square difference of the 16 views between two seeds, the mean over pairs and "
            "prompts.", "",
            *(f"* {row.name}: {row.workflow}; {', '.join(f'{key} = {value}' for key, value in row.sets.items()) or '-'}"
              for row in self.grid.rows), f"* prompts: {'; '.join(self.prompts)}", f"* seeds: {seeds}"]) + "\n"


def diversity(pictures: Sequence[Tensor]) -> float | None:
    """The mean over pairs of the root mean square difference of pictures of one size; None for fewer than two."""
    pairs = list(itertools.combinations(pictures, 2))
    return mean(float((one - other).square().mean().sqrt()) for one, other in pairs) if pairs else None


def _show(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
