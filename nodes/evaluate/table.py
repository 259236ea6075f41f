"""The table of an evaluation: one row per prompt, and its summary in one line."""
from __future__ import annotations

from dataclasses import dataclass
from statistics import mean, median
from typing import Any, Callable, Mapping, Sequence


@dataclass(frozen=True)
class StageRow:
    """Measurements after one stage; None where not available.

    iou, psnr, normal_error, chamfer as in Row, but chamfer is of the scene's own surface, before export
    triangles       of that surface
    reference_psnr  dB, from the camera of the reference picture
    seconds         of the stage
    """

    name: str
    iou: float
    psnr: float
    normal_error: float | None
    chamfer: float | None
    triangles: int | None
    reference_psnr: float | None
    seconds: float


@dataclass(frozen=True)
class Row:
    """Measurements for one prompt; None where not available.

    iou, color_error   0..1; psnr dB; normal_error degrees; chamfer: share of the true bounding diagonal
    color_right, textureless_right      prompt precision, and which prompt's truth was nearest
    seconds            of the whole workflow, including the files that it saves, without measuring
    optimize_seconds   of its Optimize nodes
    peak_memory_mb     highest memory of the process until then, so it never falls from row to row
    error              why there is no result, or no mesh
    noses              number of noses, for objects that should have one
    stages             after each stage, if there are several or a reference picture
    saturation         mean saturation of the object's colours, 0..1
    clip_color, clip_textureless    share of the views for which CLIP ranks the own caption first
    clip_right, clip_nearest        whether it is first over all views in colour, and which is
    """

    caption: str
    seed: int
    iou: float | None = None
    psnr: float | None = None
    color_error: float | None = None
    normal_error: float | None = None
    chamfer: float | None = None
    color_right: bool = False
    textureless_right: bool = False
    color_nearest: str | None = None
    textureless_nearest: str | None = None
    seconds: float | None = None
    optimize_seconds: float | None = None
    peak_memory_mb: float | None = None
    error: str | None = None
    noses: int | None = None
    stages: tuple[StageRow, ...] = ()
    saturation: float | None = None
    clip_color: float | None = None
    clip_textureless: float | None = None
    clip_right: bool | None = None
    clip_nearest: str | None = None

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Row":
        """A row from its `asdict`. Raises TypeError for other contents."""
        return cls(**{**stored, "stages": tuple(StageRow(**stage) for stage in stored.get("stages", ()))})


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Means over the available measurements; an object without a result counts as a miss in both precisions."""
    def over(function: Callable, name: str) -> float | None:
        values = [value for row in rows if (value := getattr(row, name)) is not None]
        return float(function(values)) if values else None

    return {
        "objects": len(rows), "failed": sum(row.iou is None for row in rows),
        "without_mesh": sum(row.iou is not None and row.chamfer is None for row in rows),
        "iou_mean": over(mean, "iou"), "iou_min": over(min, "iou"), "psnr_mean": over(mean, "psnr"),
        "color_error_mean": over(mean, "color_error"), "normal_error_mean": over(mean, "normal_error"),
        "chamfer_mean": over(mean, "chamfer"), "color_right": sum(row.color_right for row in rows),
        "textureless_right": sum(row.textureless_right for row in rows),
        "nosed": sum(row.noses is not None for row in rows), "one_nose": sum(row.noses == 1 for row in rows),
        "seconds_median": over(median, "seconds"),
        "optimize_seconds_median": over(median, "optimize_seconds"), "peak_memory_mb": over(max, "peak_memory_mb"),
        "saturation_mean": over(mean, "saturation"),
        "clip_color_mean": over(mean, "clip_color"), "clip_textureless_mean": over(mean, "clip_textureless"),
        "clip_right": sum(bool(row.clip_right) for row in rows),
        "clip_agrees": sum(row.clip_right == row.color_right for row in rows if row.clip_right is not None),
    }


def summary_line(rows: Sequence[Row]) -> str:
    """The table in one sentence."""
    facts = summarize(rows)
    objects = facts["objects"]
    parts = [f"{objects} object{'s' if objects != 1 else ''}", f"IoU mean {_show(facts['iou_mean'], 3)}, min "
             f"{_show(facts['iou_min'], 3)}", f"PSNR mean {_show(facts['psnr_mean'], 1)} dB",
             f"precision colour {facts['color_right']}/{objects}, textureless {facts['textureless_right']}/{objects}",
             f"Chamfer mean {_show(facts['chamfer_mean'], 4)}", f"median {_show(facts['seconds_median'], 1)} s, of it "
             f"{_show(facts['optimize_seconds_median'], 1)} s optimising"]
    if facts["clip_color_mean"] is not None:
        parts.append(f"CLIP R-Precision colour {facts['clip_color_mean']:.3f}, textureless "
                     f"{facts['clip_textureless_mean']:.3f} of views; {facts['clip_right']}/{objects} objects, in "
                     f"agreement with the precision in colour for {facts['clip_agrees']}/{objects}")
    if facts["nosed"]:
        parts.append(f"one nose {facts['one_nose']}/{facts['nosed']}")
    if facts["failed"]:
        parts.append(f"{facts['failed']} FAILED")
    if facts["without_mesh"]:
        parts.append(f"{facts['without_mesh']} without a mesh")
    return "; ".join(parts)


def markdown(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """The table as Markdown, with `facts` (settings and versions) below it."""
    lines = ["# Results against the truth", "", summary_line(rows), "", *_stage_lines(rows),
             "| prompt | IoU | PSNR dB | colour error | normal error ° | Chamfer | colour | textureless | s | "
             "optimising s | peak MB | seed | noses |", "|---|" + "---:|" * 12]
    for row in rows:
        lines.append("| " + " | ".join([
            row.caption, _show(row.iou, 3), _show(row.psnr, 1), _show(row.color_error, 3), _show(row.normal_error, 1),
            _show(row.chamfer, 4), _verdict(row.color_right, row.color_nearest),
            _verdict(row.textureless_right, row.textureless_nearest), _show(row.seconds, 1),
            _show(row.optimize_seconds, 1), _show(row.peak_memory_mb, 0), str(row.seed),
            _show(row.noses, 0)]) + " |")
    lines += _clip_lines(rows)
    failures = [f"* {row.caption}: {row.error}" for row in rows if row.error]
    lines += ["", "IoU, PSNR and errors: 16 views, unlit, over white. Chamfer: symmetric, share of the true diagonal. "
              "Precision: whether, of all in the list, the true object of the own prompt is nearest to the result; "
              "textureless compares gray pictures of the geometry, where prompts that differ in colour only count as "
              "one.", ""]
    lines += ["Failures:", "", *failures, ""] if failures else []
    return "\n".join(lines + [f"* {name}: {value}" for name, value in facts.items()]) + "\n"


def _stage_lines(rows: Sequence[Row]) -> list[str]:
    """A table of means after each stage, over the rows that have all; nothing where no row has any."""
    most = max((len(row.stages) for row in rows), default=0)
    staged = [row.stages for row in rows if row.stages and len(row.stages) == most]
    if not staged:
        return []
    lines = [f"After each stage, means over {len(staged)} objects:", "",
             "| stage | IoU | PSNR dB | PSNR of the picture dB | normal error ° | Chamfer | triangles | s |",
             "|---|" + "---:|" * 7]
    for number, stages in enumerate(zip(*staged), 1):
        def over(name: str, digits: int) -> str:
            values = [value for stage in stages if (value := getattr(stage, name)) is not None]
            return _show(mean(values) if values else None, digits)

        lines.append(f"| {number} {stages[0].name} | " + " | ".join([
            over("iou", 3), over("psnr", 1), over("reference_psnr", 1), over("normal_error", 1), over("chamfer", 4),
            over("triangles", 0), over("seconds", 1)]) + " |")
    return [*lines, ""]


def _clip_lines(rows: Sequence[Row]) -> list[str]:
    """A table of CLIP R-Precision; nothing where it was not measured."""
    ranked = [row for row in rows if row.clip_color is not None]
    if not ranked:
        return []
    return ["", "CLIP R-Precision: share of 16 views for which CLIP ranks the own caption first, and the first caption "
            "over all views in colour.", "", "| prompt | colour | textureless | first |", "|---|---:|---:|---|",
            *(f"| {row.caption} | {_show(row.clip_color, 2)} | {_show(row.clip_textureless, 2)} | "
              f"{_verdict(bool(row.clip_right), row.clip_nearest)} |" for row in ranked)]


def _show(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _verdict(is_right: bool, nearest: str | None) -> str:
    return "yes" if is_right else f"no: {nearest}" if nearest else "-"
