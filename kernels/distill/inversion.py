"""DDIM in both directions (Song et al. 2021), for a diffusion model that is known as a denoiser.

x is in the variance-exploding form, x = z + sigma * eps, where DDIM is Euler's method for dx/dsigma = eps(x, sigma)
(Karras et al. 2022, eq. 3 with s(t) = 1): a step towards more noise is inversion, a step towards less is sampling.
"""
from __future__ import annotations

from typing import Callable, Sequence

import torch
from torch import Tensor

from ..checks import check_shape

Level = float | Tensor  # a noise level for all images, or one for each, [B]
Denoise = Callable[[Tensor, Level], Tensor]  # x [B,C,h,w] and its noise level -> z0 [B,C,h,w]


def ddim_step(x: Tensor, z0: Tensor, sigma: Level, next_sigma: Level, eta: float = 0.0,
              noise: Tensor | None = None) -> Tensor:
    """From noise level sigma > 0 to next_sigma >= 0, either way (Song et al. 2021, eq. 12).

    x, z0   [B,C,h,w] the noisy image and the denoiser's output for it
    sigma, next_sigma  numbers, or [B]
    eta     0: deterministic. Towards less noise, the share of the ancestral noise (1 is DDPM's, as `ancestral_step`);
            towards more noise, the same share of the variance that the step adds, sqrt(next_sigma^2 - sigma^2). Both
            keep the noise level
    noise   [B,C,h,w] standard normal; needed where eta is not 0

    Differentiable in x and z0. Raises ValueError for eta without noise.
    """
    sigma, next_sigma = _level(sigma, x), _level(next_sigma, x)
    eps = (x - z0) / sigma
    if not eta:
        return z0 + next_sigma * eps
    if noise is None:
        raise ValueError("ddim_step: eta is not 0, so it needs noise")
    fresh, kept = _split(sigma, next_sigma, eta)
    return z0 + kept * eps + fresh * noise


@torch.no_grad()
def invert(z: Tensor, sigmas: Sequence[Level], denoise: Denoise, eta: float = 0.0,
           noises: Sequence[Tensor | None] = ()) -> Tensor:
    """DDIM inversion: the noisy image from which a deterministic sampler would return to the clean image z.

    z        [B,C,h,w] the clean image, used as the noisy one at sigmas[0], whose noise should be negligible
    sigmas   rising noise levels, numbers or [B], the first > 0. Each step calls the denoiser once, at the level where
             it starts
    denoise  the model; the caller applies guidance (SDI uses -7.5)
    noises   one for each step where eta is not 0

    Returns x [B,C,h,w] at sigmas[-1], without gradients; the eps that it holds is (x - denoise(x)) / sigma there.
    Raises ValueError for levels that do not rise.
    """
    check_shape("z", z, "B", "C", "h", "w")
    levels = [_level(sigma, z) for sigma in sigmas]
    if not levels or _any(levels[0] <= 0) or any(_any(b <= a) for a, b in zip(levels, levels[1:])):
        raise ValueError(f"invert: noise levels must rise from above 0, got {list(sigmas)}")
    x = z
    for step, (sigma, next_sigma) in enumerate(zip(sigmas, sigmas[1:])):
        x = ddim_step(x, denoise(x, sigma), sigma, next_sigma, eta, noises[step] if eta else None)
    return x


def _any(holds: bool | Tensor) -> bool:
    return bool(holds.any()) if isinstance(holds, Tensor) else holds


def _level(sigma: Level, like: Tensor) -> Level:
    """A number as it is; [B] as [B,1,1,1]."""
    return sigma.to(like).reshape(-1, 1, 1, 1) if isinstance(sigma, Tensor) else sigma


def _split(sigma: Level, next_sigma: Level, eta: float) -> tuple[Level, Level]:
    """The fresh and the kept part of next_sigma, whose squares sum to its square."""
    if isinstance(sigma, Tensor) or isinstance(next_sigma, Tensor):
        sigma, next_sigma = torch.broadcast_tensors(*map(torch.as_tensor, (sigma, next_sigma)))
        low, high = torch.minimum(sigma, next_sigma), torch.maximum(sigma, next_sigma)
        fresh = eta * (high**2 - low**2).sqrt() * torch.where(next_sigma < sigma, low / high, 1.0)
        return fresh, (next_sigma**2 - fresh**2).clamp_min(0.0).sqrt()
    low, high = sorted((sigma, next_sigma))
    fresh = eta * (high**2 - low**2) ** 0.5 * (low / high if next_sigma < sigma else 1.0)
    return fresh, max(next_sigma**2 - fresh**2, 0.0) ** 0.5
