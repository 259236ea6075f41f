"""The shading mode of a rendering, and how renderers prepare lights and cameras."""
from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from torch import Tensor, nn

from ..core.errors import DistillError
from ..core.rendering import Light
from ..core.rng import Streams


def shading_mode(material: nn.Module, light: Light | None, step: int, total: int, streams: Streams | None,
                 shading: str | None, renderer: str) -> str:
    """The mode of one rendering: `shading` if it is given, a mode drawn by the material in training (`streams` given),
    otherwise "shaded". "albedo" if the material needs a light and there is none.

    Raises DistillError, beginning with the `renderer`'s name, if `shading` needs a light and there is none.
    """
    if shading is not None:
        if light is None and material.needs_light(shading):
            raise DistillError(f'{renderer}: shading "{shading}" needs a light and none was given. Connect a light, or '
                               'choose "albedo".')
        return shading
    if light is None and material.needs_light("shaded"):
        return "albedo"
    return "shaded" if streams is None else material.draw_mode(step, total, streams)


def differentiable(given: Any) -> Any:
    """The same dataclass with inference tensors copied, which cannot take part in a backward pass. None stays None."""
    if given is None:
        return None
    values = {field.name: getattr(given, field.name) for field in fields(given)}
    return replace(given, **{name: value.clone() for name, value in values.items()
                             if isinstance(value, Tensor) and value.is_inference()})


def light_of(light: Light | None, view: Tensor) -> Light | None:
    """The light of each point, by the index of its view [N]."""
    return None if light is None else Light(light.position[view], light.ambient[view], light.diffuse[view])
