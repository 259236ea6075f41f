"""Weights w(t) of score distillation as functions of the noise level."""
from __future__ import annotations

from torch import Tensor

WEIGHTINGS = ("sds", "uniform", "fantasia3d", "x0", "flow", "inverse")


def weight(sigma: Tensor, kind: str = "sds") -> Tensor:
    """w(t) for noise levels sigma = sqrt((1 - abar) / abar) [B] -> [B].

    "sds"         1 - abar = sigma^2 / (1 + sigma^2)       DreamFusion, threestudio's default
    "uniform"     1                                        Magic3D; equals SJC with variance reduction
    "fantasia3d"  sqrt(abar) (1 - abar)                    Fantasia3D's strategy 0
    "inverse"     1 / (1 - abar)                           Fantasia3D's strategy 1, and the late part of its strategy 2
    "x0"          sigma: the residual becomes z - z0       MVDream's reconstruction loss
    "flow"        1 + sigma: it becomes v_hat - (noise - z) for a flow model, RFDS (Yang et al. 2024)
    """
    if kind == "sds":
        return sigma.square() / (1 + sigma.square())
    if kind == "uniform":
        return sigma.new_ones(sigma.shape)
    if kind == "fantasia3d":
        return sigma.square() / (1 + sigma.square()) ** 1.5
    if kind == "x0":
        return sigma
    if kind == "inverse":
        return 1 + 1 / sigma.square()
    if kind == "flow":
        return 1 + sigma
    raise ValueError(f'weighting must be one of {", ".join(WEIGHTINGS)}, got "{kind}"')
