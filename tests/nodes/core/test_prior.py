from dataclasses import dataclass

import torch

from distill3d.nodes.core.prior import LoadedPriors, PlainPrior


class Holding:
    released = 0

    def release(self):
        self.released += 1


@dataclass(frozen=True)
class Recipe:
    kind: type

    def load(self, priors):
        return self.kind()


def test_priors_are_loaded_once_and_released_once():
    priors = LoadedPriors(torch.device("cpu"))
    holding, plain = priors(Recipe(Holding)), priors(Recipe(PlainPrior))
    assert priors(Recipe(Holding)) is holding and priors(Recipe(PlainPrior)) is plain
    priors.release()
    priors.release()
    assert holding.released == 1
    assert priors(Recipe(Holding)) is not holding
