"""The record of a run: images of the scene along the way and curves of its numbers."""
from __future__ import annotations

import math
from typing import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

CURVE_COLORS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189), (255, 127, 14), (23, 190, 207))


class History:
    """Collects numbers at every step and images at `shots` evenly spaced steps.

    first  step at which the run begins
    """

    def __init__(self, total: int, shots: int = 8, first: int = 0):
        self.total = total
        self.values: dict[str, list[tuple[int, float]]] = {}
        self.strips: list[tuple[int, Tensor]] = []
        self._due = {first + round((i + 1) * (total - first) / shots) - 1 for i in range(shots)}

    def add(self, step: int, facts: Mapping[str, float]) -> None:
        for name, value in facts.items():
            if math.isfinite(value):  # a chart has no place for others, and drawing them takes seconds
                self.values.setdefault(name, []).append((step, float(value)))

    def wants_picture(self, step: int) -> bool:
        return step in self._due

    def add_picture(self, step: int, strip: Tensor) -> None:
        """strip [H,W,3]: rgb, normal and opacity from top to bottom."""
        self.strips.append((step, strip.detach().cpu()))

    def picture(self, width: int = 1024, chart_height: int = 150) -> Tensor:
        """[H,width,3] in [0,1]: the images side by side, and below them one chart for each number that changed."""
        from PIL import Image, ImageDraw

        rows = []
        if self.strips:
            tile = width // max(len(self.strips), 4)  # a run that ended early has few images, which would be huge
            tiles = [F.interpolate(strip.permute(2, 0, 1)[None], (strip.shape[0] * tile // strip.shape[1], tile),
                                   mode="bilinear", antialias=True)[0].permute(1, 2, 0) for _, strip in self.strips]
            row = torch.ones(tiles[0].shape[0], width, 3)
            row[:, :tile * len(tiles)] = torch.cat(tiles, 1)
            rows.append(row)
        names = [name for name, points in self.values.items() if len({value for _, value in points}) > 1]
        if names:
            canvas = Image.new("RGB", (width, chart_height * -(-len(names) // 2)), "white")
            pen = ImageDraw.Draw(canvas)
            for i, name in enumerate(names):
                left, top = (i % 2) * width // 2, (i // 2) * chart_height
                _draw_chart(pen, name, self.values[name], self.total, (left, top, width // 2, chart_height),
                            CURVE_COLORS[i % len(CURVE_COLORS)])
            pixels = torch.frombuffer(bytearray(canvas.tobytes()), dtype=torch.uint8)
            rows.append(pixels.reshape(canvas.height, canvas.width, 3).float() / 255)
        return torch.cat(rows).clamp(0, 1) if rows else torch.ones(chart_height, width, 3)


def _draw_chart(pen, name: str, points: list[tuple[int, float]], total: int, box, color) -> None:
    left, top, width, height = box
    low, high = min(v for _, v in points), max(v for _, v in points)
    span = (high - low) or 1.0
    x0, x1, y0, y1 = left + 12, left + width - 12, top + 28, top + height - 18
    pen.rectangle((x0, y0, x1, y1), outline=(205, 205, 205))
    pen.text((x0, top + 8), f"{name}: {points[-1][1]:.4g}   ({low:.3g} to {high:.3g})", fill=(40, 40, 40))
    pen.text((x1 - 40, y1 + 3), f"{total} steps", fill=(120, 120, 120), anchor="la")
    line = [(x0 + (x1 - x0) * step / max(total - 1, 1), y1 - (y1 - y0) * (value - low) / span)
            for step, value in points]
    pen.line(line, fill=color, width=1)
