"""What the scenes of all renderers share: a field, a material and a background, drawn under the scene's kernel
backend."""
from __future__ import annotations

from typing import Any, Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from ...kernels.backend import prefer
from ..core.cameras import Cameras
from ..core.field import Field, Replacement
from ..core.rendering import Light, Rendering
from ..core.rng import Streams
from ..core.scene import Scene, gather_groups, part_of
from .shading import differentiable, shading_mode


class FieldScene(Scene):
    """A Scene of a field. Subclasses define `_render`, and override `_update` and `_mode` where they differ.

    title  of the renderer's node: begins its errors
    """

    title: str = "Renderer"

    def __init__(self, recipe: Any, field: Field, material: nn.Module, background: nn.Module):
        super().__init__()
        self.recipe, self.field, self.material, self.background = recipe, field, material, background
        self.total = 1  # steps of the run

    @property
    def bounds(self) -> Tensor:
        return self.field.bounds

    @property
    def is_volume(self) -> bool:
        return self.field.is_volume

    @property
    def has_distance(self) -> bool:
        return self.field.has_distance

    @property
    def is_gaussian(self) -> bool:
        return self.field.is_gaussian

    @property
    def is_surface(self) -> bool:
        return self.field.is_surface

    def parameter_groups(self) -> dict[str, list[nn.Parameter]]:
        return gather_groups(self.field, self.material, self.background)

    def resize_like(self, state: Mapping[str, Tensor]) -> None:
        self.field.resize_like(part_of(state, "field"))

    def update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        self.total = total
        with prefer(self.backend):
            return self._update(step, total, streams)

    def render(self, cameras: Cameras, light: Light | None = None, wanted: Iterable[str] = ("rgb", "opacity"), *,
               step: int = 0, streams: Streams | None = None, shading: str | None = None) -> Rendering:
        """See Scene.render; `_mode` says what `shading` None means. A still picture without gradients has its rgb
        clamped to [0,1]."""
        wanted, recording = frozenset(wanted), torch.is_grad_enabled()
        mode = self._mode(light, step, streams, shading) if "rgb" in wanted else "albedo"
        # The host runs nodes in inference mode, whose tensors cannot be differentiated: analytic normals need that.
        with prefer(self.backend), torch.inference_mode(False), torch.set_grad_enabled(recording):
            rendering = self._render(differentiable(cameras), differentiable(light), wanted, mode, streams, recording)
        if rendering.rgb is not None and streams is None and not recording and self.material.is_color:
            rendering.rgb = rendering.rgb.clamp(0, 1)
        return rendering

    def _update(self, step: int, total: int, streams: Streams) -> Sequence[Replacement]:
        return self.field.update(step, total, streams)

    def _mode(self, light: Light | None, step: int, streams: Streams | None, shading: str | None) -> str:
        """The material's mode that the colours are drawn in."""
        return shading_mode(self.material, light, step, self.total, streams, shading, self.title)

    def _render(self, cameras: Cameras, light: Light | None, wanted: frozenset[str], mode: str, streams: Streams | None,
                recording: bool) -> Rendering:
        """As `render`, of tensors that can be differentiated. recording: whether gradients are."""
        raise NotImplementedError
