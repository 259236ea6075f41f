"""Sampler steps for a diffusion model that is given as a denoiser.

x is in the variance-exploding form: x = z + sigma * noise with z the clean image.
"""
from __future__ import annotations

from torch import Tensor


def ancestral_step(x: Tensor, z0: Tensor, sigma: float, next_sigma: float, noise: Tensor) -> Tensor:
    """From noise level sigma to next_sigma < sigma, as DDPM's reverse process does (Ho et al. 2020, eqs. 6, 7).

    x, z0, noise  [B,C,h,w]: the noisy image, the denoiser's output, fresh normal noise

    The mean and variance of q(x_next | x, z0) in the variance-exploding form: with next_sigma 0 the result is z0.
    """
    ratio = (next_sigma / sigma) ** 2
    return z0 + ratio * (x - z0) + next_sigma * (1 - ratio) ** 0.5 * noise


def langevin_step(x: Tensor, z0: Tensor, sigma: float, size: float, noise: Tensor) -> Tensor:
    """One step of Langevin dynamics at a fixed noise level (Song and Ermon 2019, algorithm 1).

    The score is (z0 - x) / sigma^2 (Tweedie). size: step length relative to sigma^2, at most about 0.5.
    """
    return x + size * (z0 - x) + sigma * (2 * size) ** 0.5 * noise



def implied_noise(z: Tensor, noise: Tensor, z0: Tensor, sigma: Tensor) -> Tensor:
    """The predicted noise: eps with z0 + sigma eps = z + sigma noise (Song et al. 2021, DDIM, eq. 12).

    z, noise  [B,C,h,w] the clean image and noise of the noisy image
    z0        [B,C,h,w] the denoiser's output for it
    sigma     [B] its noise level, above 0

    z0 plus this noise at a lower level is the next image of deterministic DDIM.
    """
    return noise + (z - z0) / sigma.reshape(-1, 1, 1, 1)
