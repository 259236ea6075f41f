"""Pictures and numbers of a run while it goes on."""
from __future__ import annotations

import time
from typing import Mapping

import torch
from torch import Tensor

from ..comfy import Progress
from ..core.cameras import orbit
from ..core.objective import Objective
from ..core.rendering import displayed
from ..core.rng import Streams
from ..core.scene import Scene
from .history import History


class Preview:
    """Draws the scene in training for the history and for the progress display.

    size  pixels of a picture
    """

    def __init__(self, scene: Scene, objective: Objective, history: History, seed: int, size: int):
        self.scene, self.objective, self.history, self.seed, self.size = scene, objective, history, seed, size
        self._next = 0.0  # time of the next picture on the display

    def is_due(self, step: int, progress: Progress) -> bool:
        return self.history.wants_picture(step) or progress.is_due() or step + 1 == self.history.total

    def show(self, step: int, progress: Progress, speed: float, facts: Mapping[str, float]) -> None:
        """speed: steps per second."""
        strip, now, is_kept = None, time.monotonic(), self.history.wants_picture(step)
        if is_kept or (progress.shows_pictures and now >= self._next):
            strip = self._draw()
            # Pictures take at most about a twentieth of the time.
            self._next = time.monotonic() + max(0.3, 20 * (time.monotonic() - now))
        if is_kept:
            self.history.add_picture(step, strip)
        done, total = step + 1, self.history.total
        text = f"{done}/{total}  {speed:.2f} it/s  {(total - done) / speed:.0f} s left"
        progress.update(done, text, None if strip is None else torch.cat(strip.chunk(3), 1), facts)

    @torch.no_grad()
    def _draw(self) -> Tensor:
        """rgb, normal and opacity of one still view, stacked from top to bottom: [3S,S,3] in [0,1]."""
        device = self.scene.bounds.device
        size = self.size if device.type == "cpu" else 2 * self.size  # larger where it costs little
        seen = self.objective.views.sample(1, size, size, 0, self.history.total, Streams(self.seed, 0, "preview/"))
        scale = float(seen.scale.mean()) if seen.is_orthographic else None
        camera = orbit(0.6, 0.35, float(seen.distance.mean()), float(seen.fovy.mean()), size, size, scale).to(device)
        rendering = self.scene.render(camera, None, ("rgb", "opacity", "normal"), shading="albedo")
        grey = rendering.opacity[0].expand(-1, -1, 3)
        return torch.cat([displayed(rendering.rgb[0], rendering.rgb.shape[-1] == 3), rendering.normal[0] * 0.5 + 0.5,
                          grey]).clamp(0, 1).float().cpu()
