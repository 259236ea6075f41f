"""What the losses share that compare renderings with posed pictures."""
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

    The target holds the picture of each of the rendering's cameras, at its size and on its device. Only the last size
    is kept. Raises DistillError, beginning with the node's `title`, where a camera belongs to no picture.
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
        """The number of each camera's picture. Cameras that name other pictures are compared once, as that waits for
        the device."""
        names = cameras.source, cameras.picture
        if cameras.source and self._index is not None and self._index[0] == names:
            return self._index[1]
        index = self.pictures.index_of(cameras)
        if index is None:
            raise DistillError(f"{self.title}: its objective looks from elsewhere than {self._where()}. Give that "
                               "Objective the views of the same Reference View, or Given Views of the same pictures, "
                               "and other views an Objective of their own.")
        self._index = names, index
        return index

    def _where(self) -> str:
        cameras = self.pictures.cameras
        if len(cameras) > 1:
            return f"the {len(cameras)} pictures were taken"
        elevation, azimuth, fovy = (math.degrees(float(angle))
                                    for angle in (cameras.elevation, cameras.azimuth, cameras.fovy))
        return (f"the picture was taken (elevation {elevation:g}, azimuth {azimuth:g}, distance "
                f"{float(cameras.distance):g}, fovy {fovy:g})")


def need_mask(title: str, pictures: Pictures) -> None:
    if not pictures.is_masked:
        raise DistillError(f"{title}: the reference has no mask that tells the object from its surroundings. Connect "
                           '"mask" to its Reference View.')


def need_image(title: str, pictures: Pictures, name: str) -> None:
    if getattr(pictures, name) is None:
        raise DistillError(f'{title}: the reference has no {name}. Connect "{name}" to its Reference View, or take '
                           'this loss out.')
