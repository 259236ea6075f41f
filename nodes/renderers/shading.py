"""Which of a material's modes a picture is drawn in, and how renderers hand lights and cameras on."""
from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from torch import Tensor, nn

from ..core.errors import DistillError
from ..core.rendering import Light
from ..core.rng import Streams


def shading_mode(material: nn.Module, light: Light | None, step: int, total: int, streams: Streams | None,
                 shading: str | None, renderer: str) -> str:
    """The mode of one picture: `shading` where it is given, the material's own draw in training (`streams` given),
    otherwise "shaded". Without a light, and where the material needs one, "albedo".

    Raises DistillError, beginning with the `renderer`'s name, where `shading` needs a light and there is none.
    """
    if shading is not None:
        if light is None and material.needs_light(shading):
            raise DistillError(f'{renderer}: shading "{shading}" needs a light and none was given. '
                               'Wire a light, or ask for "albedo".')
        return shading
    if light is None and material.needs_light("shaded"):
        return "albedo"
    return "shaded" if streams is None else material.draw_mode(step, total, streams)


def differentiable(given: Any) -> Any:
    """The same dataclass without tensors of inference mode, which cannot take part in a backward pass. None stays."""
    if given is None:
        return None
    values = {field.name: getattr(given, field.name) for field in fields(given)}
    return replace(given, **{name: value.clone() for name, value in values.items()
                             if isinstance(value, Tensor) and value.is_inference()})


def light_of(light: Light | None, view: Tensor) -> Light | None:
    """The light of each point, by its view [N]."""
    return None if light is None else Light(light.position[view], light.ambient[view], light.diffuse[view])
