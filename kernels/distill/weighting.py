"""Weights w(t) of score distillation as functions of the noise level."""
from __future__ import annotations

from torch import Tensor

WEIGHTINGS = ("sds", "uniform", "fantasia3d", "x0", "flow", "inverse", "elbo", "ncsn")


def weight(sigma: Tensor, kind: str = "sds", before: Tensor | None = None) -> Tensor:
    """w(t) for noise levels sigma = sqrt((1 - abar) / abar) [B] -> [B].

    "sds"         1 - abar = sigma^2 / (1 + sigma^2)       DreamFusion, threestudio's default
    "uniform"     1                                        Magic3D; equals SJC with variance reduction
    "fantasia3d"  sqrt(abar) (1 - abar)                    Fantasia3D's strategy 0
    "inverse"     1 / (1 - abar)                           Fantasia3D's strategy 1, and the late part of its strategy 2
    "x0"          sigma: the residual becomes z - z0       MVDream's reconstruction loss
    "flow"        1 + sigma: it becomes v_hat - (noise - z) for a flow model, RFDS (Yang et al. 2024)
    "elbo"        sigma (1 / before^2 - 1 / sigma^2): it becomes abar' beta^2 / (beta~ (1 - abar)^2) (z - z0), the term
                  of the timestep in the variational bound (Ho et al. 2020; Kingma et al. 2021, eq. 14). abar' and
                  `before` are those of the timestep before
    "ncsn"        1 / sigma: denoising score matching with lambda = sigma^2 (Song and Ermon 2019), (z - z0) / sigma^2

    before  [B] the noise level of the timestep before, below sigma; needed by "elbo"
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
    if kind == "elbo":
        if before is None:
            raise ValueError('weight: "elbo" needs the noise levels of the timesteps before')
        return sigma * (1 / before.square() - 1 / sigma.square())
    if kind == "ncsn":
        return 1 / sigma
    raise ValueError(f'weighting must be one of {", ".join(WEIGHTINGS)}, got "{kind}"')
