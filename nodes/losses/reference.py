"""What the losses share that compare a rendering with a reference."""
from __future__ import annotations

from typing import Callable

import torch
from torch import Tensor

from ..core.cameras import Cameras
from ..core.errors import DistillError
from ..core.loss import Look, Stateless, Term
from ..core.reference import Reference, Target
from ..core.schedule import Schedule

Measure = Callable[[Look, Target], Tensor]


class ReferenceMeasure(Stateless):
    """measure(look, target) -> scalar, multiplied by `weight` at the step.

    The target has the rendering's size, device and number of views. Only the last size is kept. Raises DistillError,
    beginning with the node's `title`, when the cameras are not the reference's.
    """

    def __init__(self, title: str, reference: Reference, measure: Measure, weight: Schedule):
        self.title, self.reference, self.measure, self.weight = title, reference, measure, weight
        self._kept: tuple[tuple[int, ...], Target] | None = None

    def __call__(self, look: Look) -> Term:
        value, weight = self.measure(look, self._target(look.cameras)), look.at(self.weight)
        return Term(weight * value, {"value": value.detach(), "weight": weight})

    def _target(self, cameras: Cameras) -> Target:
        size = (len(cameras), cameras.height, cameras.width)
        if self._kept is None or self._kept[0] != size:
            self._check(cameras)
            small = self.reference.at(cameras.height, cameras.width)
            images = {name: None if image is None else image.to(cameras.c2w.device).expand(len(cameras), -1, -1, -1)
                      for name, image in vars(small).items()}
            self._kept = size, Target(**images)
        return self._kept[1]

    def _check(self, cameras: Cameras) -> None:
        view = self.reference.view
        own = view.sample(len(cameras), cameras.height, cameras.width).to(cameras.c2w.device)
        if torch.allclose(cameras.c2w, own.c2w, atol=1e-4) and torch.allclose(cameras.fovy, own.fovy, atol=1e-4):
            return
        raise DistillError(f"{self.title}: its objective looks from elsewhere than the picture was taken (elevation "
                           f"{view.elevation:g}, azimuth {view.azimuth:g}, distance {view.distance:g}, fovy {view.fovy:g}). "
                           "Give that Objective the views of the same Reference View, and other views an Objective of "
                           "their own.")


def need_mask(title: str, reference: Reference) -> None:
    if not reference.is_masked:
        raise DistillError(f"{title}: the reference has no mask that tells the object from its surroundings. Connect "
                           '"mask" to its Reference View.')


def need_image(title: str, reference: Reference, name: str) -> None:
    if getattr(reference, name) is None:
        raise DistillError(f'{title}: the reference has no {name}. Connect "{name}" to its Reference View, or take this loss '
                           "out.")
