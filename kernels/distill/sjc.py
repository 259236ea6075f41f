"""Score Jacobian chaining (Wang et al. 2022)."""
from __future__ import annotations

from torch import Tensor


def sjc_gradient(z: Tensor, z0: Tensor, noise: Tensor, sigma: Tensor, variance_reduction: bool = True) -> Tensor:
    """The negative perturb-and-average score of z, a direction to descend (Wang et al. 2022, eqs. 9, 10).

    z      [B,C,h,w] the clean image or latent
    z0     [B,C,h,w] the guided denoiser's output for z + sigma * noise
    noise  [B,C,h,w] the noise that was added
    sigma  [B]  noise level relative to the signal

    Without variance reduction (z + sigma * noise - z0) / sigma, which is eps_hat. With it (z - z0) / sigma, which is
    the SDS gradient with the weighting "uniform": the two differ by the noise, whose mean is 0. Returns [B,C,h,w],
    detached.
    """
    sigma = sigma.reshape(-1, 1, 1, 1)
    centre = z if variance_reduction else z + sigma * noise
    return ((centre - z0) / sigma).detach()
