"""Score distillation sampling (Poole et al. 2022, DreamFusion)."""
from __future__ import annotations

from torch import Tensor

from .weighting import weight


def sds_gradient(z: Tensor, z0: Tensor, sigma: Tensor, weighting: str = "sds",
                 before: Tensor | None = None) -> Tensor:
    """The SDS gradient w(t) (eps_hat - eps) with respect to z (Poole et al. 2022, eq. 3).

    z      [B,C,h,w] the clean image or latent
    z0     [B,C,h,w] the model's guided prediction of it from z_t
    sigma  [B]  sqrt((1 - abar) / abar) of each sample's timestep
    before [B]  that of the timestep before, for the weighting "elbo"

    (z - z0) / sigma equals eps_hat - eps for models of noise, velocity and flow alike. Returns [B,C,h,w], detached.
    """
    factor = (weight(sigma, weighting, before) / sigma).reshape(-1, 1, 1, 1)
    return (factor * (z - z0)).detach()


def surrogate(z: Tensor, gradient: Tensor) -> Tensor:
    """A scalar whose gradient with respect to z is gradient / B: 1/2 |z - stop(z - gradient)|^2 summed over
    elements, divided by the batch.

    The sum makes the magnitude depend on the prior's space (16,384 latent elements for SD, 12,288 for IF), which is
    what every published loss weight assumes.
    """
    target = (z - gradient).detach()
    return 0.5 * (z - target).square().sum() / len(z)
