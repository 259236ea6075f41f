"""An evaluation: makes scenes from prompts whose true shape is known and measures them."""
from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..nodes.assets.core_mesh import to_core
from ..nodes.core.errors import DistillError
from ..nodes.core.state import write_atomically
from ..nodes.evaluate.clip_precision import clip_rankings
from ..nodes.evaluate.compare_geometry import compare_mesh
from ..nodes.evaluate.measure import color_psnr, saturation, score
from ..nodes.evaluate.noses import count_noses, has_nose
from ..nodes.evaluate.precision import Precision, prompt_precision
from ..nodes.evaluate.prompts import true_shape
from ..nodes.evaluate.sheet import SHOWN, comparison, contact_sheet, in_one_row, shadings, take, write_picture
from ..nodes.evaluate.table import Row, StageRow, markdown, summarize
from ..nodes.evaluate.truth import true_rendering
from ..nodes.evaluate.views import Pictures, standard_views, still_render, take_pictures
from ..nodes.export.extract_mesh import extract_mesh
from ..nodes.models.clip_tower import load_tower
from .product import Product, Stage
from .true_picture import Viewpoint

Produce = Callable[[str, int, str], Product]

MESH_RESOLUTION = 64  # of the surfaces that stages are compared by


@dataclass(frozen=True)
class Evaluation:
    """What is evaluated.

    prompts  the list: each is run, and each is a candidate of prompt precision
    produce  (prompt, seed, name) -> Product
    size     pixels of a view; points: drawn from each surface; device: where results are rendered
    facts    everything else that the numbers depend on: shown in the table, and compared to decide whether an earlier
             row can be kept
    clip     folder of the CLIP that ranks the captions, or "": none
    keeps    also writes rows/NAME.views.png, the 16 views in colour, and rows/NAME.shown.png, three shadings
    """

    prompts: tuple[str, ...]
    produce: Produce
    seed: int = 0
    size: int = 64
    points: int = 50_000
    device: str = "cpu"
    facts: dict[str, Any] = field(default_factory=dict)
    clip: str = ""
    keeps: bool = False

    def made_with(self) -> dict[str, Any]:
        """What the numbers of a row depend on besides the code, by name, as JSON."""
        facts = {"prompts": _digest(self.prompts), "seed": self.seed, "view size": self.size, "points": self.points,
                 **self.facts}
        return json.loads(json.dumps(facts, default=str))

    def fingerprint(self) -> str:
        """Equal for evaluations whose rows can share a table."""
        return _digest(self.made_with())

    def run(self, folder: str | os.PathLike, only: int = 0, resume: bool = False, jobs: int = 1,
            report: Callable[[str], None] = lambda line: None) -> list[Row]:
        """Measures the first `only` prompts (0: all). Each row is written as soon as it is known.

        folder  gets table.md, table.json and contact_sheet.png, rewritten after every prompt, and rows/
        resume  keeps rows that an equal evaluation has already measured in this folder. Failed rows are run again, and
                so are rows that were made with other settings, which is reported
        jobs    prompts at once, each in a process of its own when more than one
        report  is called with a line after every prompt

        A prompt that ends in a DistillError gives a row with that error. Other exceptions are not caught.
        """
        folder, chosen = Path(folder), self.prompts[:only or None]
        rows = self._stored_rows(folder, chosen, report) if resume else {}
        todo = [prompt for prompt in chosen if prompt not in rows]
        for prompt, row in zip(todo, _each(functools.partial(self.measure, folder=folder), todo, jobs)):
            rows[prompt] = row
            report(f"{len(rows)}/{len(chosen)} {_line(row)}")
            self._write(folder, [rows[one] for one in chosen if one in rows])
        if not todo:
            self._write(folder, list(rows.values()))
        return [rows[prompt] for prompt in chosen]

    def measure(self, prompt: str, folder: Path) -> Row:
        """Runs and measures one prompt, and writes its row and picture."""
        name = file_name(prompt)
        try:
            row = self._measured(prompt, name, folder)
        except DistillError as error:
            row = Row(prompt, self.seed, peak_memory_mb=peak_memory_mb(), error=str(error))
            (folder / "rows" / f"{name}.png").unlink(missing_ok=True)
        write_atomically(folder / "rows" / f"{name}.json", json.dumps(
            {"fingerprint": self.fingerprint(), "made_with": self.made_with(), "row": asdict(row)}, indent=1).encode())
        return row

    def _measured(self, prompt: str, name: str, folder: Path) -> Row:
        product = self.produce(prompt, self.seed, name)
        memory, truths = peak_memory_mb(), true_pictures(self.prompts, self.size)
        own = self.prompts.index(prompt)
        render, shape = still_render(product.scene, self.device), true_shape(prompt)
        result = take_pictures(render, standard_views(self.size))
        write_picture(folder / "rows" / f"{name}.png",
                      in_one_row(comparison(take(result, SHOWN), take(truths[own], SHOWN))))
        scores, precision = score(result, truths[own]), prompt_precision(result, truths, own)
        chamfer, problem = None, None
        if product.mesh is not None:
            try:
                chamfer = compare_mesh(product.mesh, prompt, self.points)
            except DistillError as error:
                problem = str(error)
        if self.keeps:
            write_picture(folder / "rows" / f"{name}.views.png", torch.cat(tuple(result.color), 1))
            write_picture(folder / "rows" / f"{name}.shown.png", in_one_row(shadings(take(result, SHOWN))))
        stages = self._stages(product, truths[own], prompt)
        return Row(prompt, self.seed, scores.iou, scores.psnr, scores.color_error, scores.normal_error, chamfer,
                   precision.color.is_right, precision.textureless.is_right,
                   self.prompts[precision.color.order[0]], self.prompts[precision.textureless.order[0]],
                   product.seconds, product.optimize_seconds, memory, problem,
                   count_noses(render, shape) if has_nose(shape) else None, stages,
                   saturation(result.color, result.opacity), **self._ranked_by_clip(result, own, precision))

    def _ranked_by_clip(self, result: Pictures, own: int, precision: Precision) -> dict[str, Any]:
        if not self.clip:
            return {}
        tower, texts = _tower(self.clip, self.prompts)
        color, gray = clip_rankings(tower, result, texts, own, precision.textureless.equals)
        return {"clip_color": color.share, "clip_textureless": gray.share, "clip_right": color.is_right,
                "clip_nearest": self.prompts[color.first]}

    def _stages(self, product: Product, truth: Pictures, prompt: str) -> tuple[StageRow, ...]:
        """Measures every stage in the same way. Empty if there is one stage and no reference image."""
        if len(product.stages) < 2 and product.viewpoint is None:
            return ()
        return tuple(self._stage(stage, product.viewpoint, truth, prompt) for stage in product.stages)

    def _stage(self, stage: Stage, viewpoint: Viewpoint | None, truth: Pictures, prompt: str) -> StageRow:
        render = still_render(stage.scene, self.device)
        scores = score(take_pictures(render, standard_views(self.size)), truth)
        reference = None
        if viewpoint is not None:
            cameras = viewpoint.cameras(self.size)
            reference = color_psnr(take_pictures(render, cameras).color,
                                   take_pictures(functools.partial(true_rendering, true_shape(prompt)), cameras).color)
        chamfer, triangles = None, None
        try:
            mesh = extract_mesh(stage.scene, MESH_RESOLUTION, colors=False, device=self.device).mesh
            chamfer, triangles = compare_mesh(to_core(mesh), prompt, self.points), len(mesh.faces)
        except DistillError:
            pass  # no surface: a stage without these two numbers
        return StageRow(stage.name, scores.iou, scores.psnr, scores.normal_error, chamfer, triangles, reference,
                        stage.seconds)

    def _stored_rows(self, folder: Path, chosen: Sequence[str], report: Callable[[str], None]) -> dict[str, Row]:
        """Rows of this evaluation. Reports how many were made with other settings."""
        rows, others, differing, own = {}, 0, set(), self.made_with()
        for prompt in chosen:
            try:
                stored = json.loads((folder / "rows" / f"{file_name(prompt)}.json").read_text(encoding="utf-8"))
                row, made_with = Row.of(stored["row"]), stored.get("made_with", {})
                if stored["fingerprint"] != self.fingerprint():
                    others += 1
                    differing |= {name for name in {**own, **made_with} if own.get(name) != made_with.get(name)}
                elif row.iou is not None:
                    rows[prompt] = row
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue  # absent or damaged: measured again
        if others:
            names = [name for name in own if name in differing] + sorted(differing - own.keys())
            report(f"{others} stored {'row was' if others == 1 else 'rows were'} made with other {', '.join(names)}: "
                   f"{'it is' if others == 1 else 'they are'} made again")
        return rows

    def _write(self, folder: Path, rows: Sequence[Row]) -> None:
        facts = {**self.facts, "seed": self.seed, "view size": self.size, **versions()}
        data = {"facts": facts, "fingerprint": self.fingerprint(), "summary": summarize(rows),
                "rows": [asdict(row) for row in rows]}
        write_atomically(folder / "table.json", json.dumps(data, indent=1, default=str).encode())
        write_atomically(folder / "table.md", markdown(rows, facts).encode())
        pictures = [folder / "rows" / f"{file_name(row.caption)}.png" for row in rows]
        contact_sheet(folder / "contact_sheet.png", [(_line(row), picture if picture.exists() else None)
                                                     for row, picture in zip(rows, pictures)])


@functools.lru_cache(maxsize=2)
def true_pictures(prompts: tuple[str, ...], size: int) -> tuple[Pictures, ...]:
    """Pictures of every prompt's true shape from the standard views."""
    cameras = standard_views(size)
    return tuple(take_pictures(functools.partial(true_rendering, true_shape(prompt)), cameras) for prompt in prompts)


@functools.lru_cache(maxsize=2)
def _tower(folder: str, prompts: tuple[str, ...]) -> tuple[Any, torch.Tensor]:
    """A CLIP on the CPU, and its embeddings of the prompts."""
    tower = load_tower(folder, "Evaluation", torch.device("cpu"))
    return tower, tower.embed_texts(prompts)


def peak_memory_mb() -> float | None:
    """Peak memory of this process so far; None on systems that do not report it."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def versions() -> dict[str, str]:
    try:
        own = importlib.metadata.version("distill3d")
    except importlib.metadata.PackageNotFoundError:
        own = "source tree"
    return {"distill3d": own, "torch": torch.__version__, "python": platform.python_version(),
            "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads"}


def _each(work: Callable[[str], Row], prompts: Sequence[str], jobs: int) -> Iterator[Row]:
    """Rows in the order of the prompts."""
    if jobs <= 1:
        yield from map(work, prompts)
        return
    threads = max(1, torch.get_num_threads() // jobs)
    with concurrent.futures.ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), torch.set_num_threads,
                                                (threads,)) as pool:
        try:
            yield from pool.map(work, prompts)
        finally:
            pool.shutdown(cancel_futures=True)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_name(prompt: str) -> str:
    """Of a prompt's row and pictures, without the ending."""
    return re.sub(r"[^a-z0-9]+", "_", true_shape(prompt).caption)


def _line(row: Row) -> str:
    if row.iou is None:
        return f"{row.caption}: FAILED. {row.error}"
    chamfer = "-" if row.chamfer is None else f"{row.chamfer:.4f}"
    wrong = [name for name, right in (("colour", row.color_right), ("shape", row.textureless_right)) if not right]
    return (f"{row.caption}: IoU {row.iou:.3f}, PSNR {row.psnr:.1f} dB, Chamfer {chamfer}, {row.seconds:.1f} s"
            + (f", WRONG {' and '.join(wrong)}" if wrong else ""))
