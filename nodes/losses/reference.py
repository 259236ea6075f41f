"""The base of the losses that compare renderings with posed pictures."""
from __future__ import annotations

import math
from typing import Callable

from torch import Tensor

from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.loss import Look, Stateless, Term
from ..core.pictures import Pictures, Target
from ..core.schedule import Schedule

Measure = Callable[[Look, Target], Tensor]


class ReferenceMeasure(Stateless):
    """measure(look, target) -> scalar, multiplied by `weight` at the step.

    The target holds the picture of each camera of the rendering, at the size and on the device of the rendering. It is
    cached for the last size only. Raises DistillError, beginning with the node's `title`, for a camera without a
    picture.
    """

    def __init__(self, title: str, pictures: Pictures, measure: Measure, weight: Schedule):
        self.title, self.pictures, self.measure, self.weight = title, pictures, measure, weight
        self._all: tuple[tuple[int, int], Target] | None = None
        self._index: tuple[tuple, tuple[int, ...]] | None = None

    def __call__(self, look: Look) -> Term:
        value, weight = self.measure(look, self._target(look.cameras)), look.at(self.weight)
        return Term(weight * value, {"value": value.detach(), "weight": weight})

    def _target(self, cameras: Cameras) -> Target:
        size = cameras.height, cameras.width
        if self._all is None or self._all[0] != size:
            self._all = size, self.pictures.at(*size).to(cameras.c2w.device)
        return self._all[1].take(self._match(cameras))

    def _match(self, cameras: Cameras) -> tuple[int, ...]:
        """The index of each camera's picture. Results are cached for cameras that carry indices of other Pictures,
        because comparing poses waits for the device."""
        names = cameras.source, cameras.picture
        if cameras.source and self._index is not None and self._index[0] == names:
            return self._index[1]
        index = self.pictures.index_of(cameras)
        if index is None:
            raise DistillError(f"{self.title}: the cameras of its Objective differ from {self._where()}. Connect the "
                               "views of the same Reference View, or Given Views of the same pictures, to this "
                               "Objective, and use another Objective for other views.")
        self._index = names, index
        return index

    def _where(self) -> str:
        cameras = self.pictures.cameras
        if len(cameras) > 1:
            return f"those of the {len(cameras)} pictures"
        elevation, azimuth, fovy = (math.degrees(float(angle))
                                    for angle in (cameras.elevation, cameras.azimuth, cameras.fovy))
        return (f"the camera of the picture (elevation {elevation:g}, azimuth {azimuth:g}, distance "
                f"{float(cameras.distance):g}, fovy {fovy:g})")


def need_mask(title: str, pictures: Pictures) -> None:
    if not pictures.is_masked:
        raise DistillError(f"{title}: the reference has no mask that separates the object from the background. Connect "
                           'a mask to its Reference View.')


def need_image(title: str, pictures: Pictures, name: str) -> None:
    if getattr(pictures, name) is None:
        raise DistillError(f'{title}: the reference has no {name}. Connect "{name}" to its Reference View, or remove '
                           'this loss.')
