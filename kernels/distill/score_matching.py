"""Objectives that fit a score network s(x) to grad log p(x) of data, from samples of p alone.

    explicit   E[ tr(ds/dx) + 1/2 |s|^2 ]                        Hyvarinen 2005, theorem 1
    sliced     E[ v^T ds/dx v + 1/2 (v^T s)^2 ]                  Song et al. 2019 (sliced score matching), eq. 7
    denoising  E[ 1/2 lambda(sigma) |s(x + sigma n) + n/sigma|^2 ]   Vincent 2011; Song and Ermon 2019 (NCSN), eq. 5

The first two have the same minimum as the Fisher divergence E[1/2 |s - grad log p|^2], from which explicit score
matching differs by a constant of the data. The third finds the score of p blurred by sigma.
"""
from __future__ import annotations

from typing import Callable

import torch
from torch import Tensor

from ..checks import check_shape

Score = Callable[[Tensor], Tensor]  # x [B,D] -> s [B,D], row by row: s of a row depends on that row alone


def explicit_score_matching(score: Score, x: Tensor) -> Tensor:
    """tr(ds/dx) + 1/2 |s|^2, the mean over samples: a scalar.

    x  [B,D] samples of the data

    The trace is exact and takes D backward passes, so D is at most some 64. Differentiable in the parameters of
    `score`.
    """
    x, s = _evaluate(score, x)
    trace = torch.zeros_like(s[:, 0])
    for axis in range(x.shape[1]):
        trace = trace + torch.autograd.grad(s[:, axis].sum(), x, create_graph=True)[0][:, axis]
    return (trace + 0.5 * s.square().sum(1)).mean()


def sliced_score_matching(score: Score, x: Tensor, directions: Tensor, has_exact_norm: bool = True) -> Tensor:
    """v^T ds/dx v plus half the squared norm, the mean over samples and directions: a scalar.

    x           [B,D] samples of the data
    directions  [K,B,D] random v with E[v v^T] = 1: standard normal or random signs (Hutchinson's estimator of the
                trace)
    has_exact_norm  True: 1/2 |s|^2, with less variance (eq. 8); False: 1/2 (v^T s)^2 (eq. 7)

    K backward passes, whatever D is. Its mean over directions is explicit score matching. Differentiable in the
    parameters of `score`.
    """
    check_shape("directions", directions, "K", *x.shape)
    x, s = _evaluate(score, x)
    total = torch.zeros((), dtype=s.dtype, device=s.device)
    for v in directions:
        along = (v * s).sum(1)
        curvature = (torch.autograd.grad(along.sum(), x, create_graph=True)[0] * v).sum(1)
        norm = s.square().sum(1) if has_exact_norm else along.square()
        total = total + (curvature + 0.5 * norm).mean()
    return total / len(directions)


def denoising_score_matching(s: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """1/2 lambda(sigma) |s + n/sigma|^2 with NCSN's lambda(sigma) = sigma^2, the mean over samples: a scalar.

    s      [B,D] the network's score at x + sigma n
    noise  [B,D] n, standard normal
    sigma  [B] > 0

    With s = -eps_hat / sigma this is half of DDPM's simple objective |eps_hat - n|^2 (Ho et al. 2020, eq. 14).
    Differentiable in s.
    """
    check_shape("s", s, "B", "D")
    check_shape("noise", noise, *s.shape)
    check_shape("sigma", sigma, len(s))
    return 0.5 * (sigma[:, None] * s + noise).square().sum(1).mean()


def fisher_divergence(s: Tensor, known: Tensor) -> Tensor:
    """1/2 |s - grad log p|^2, the mean over samples [B,D] of p: a scalar."""
    return 0.5 * (s - known).square().sum(1).mean()


def mixture_score(x: Tensor, means: Tensor, deviations: Tensor, weights: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
    """grad log p(x) of a mixture of isotropic Gaussians that is blurred by noise of level sigma: [B,D].

    x           [B,D]
    means       [K,D]
    deviations  [K] > 0, before the blur
    weights     [K] > 0, of any sum
    sigma       number or [B] >= 0

    The clean image that an ideal denoiser predicts is x + sigma^2 of this (Tweedie). Differentiable in x.
    """
    check_shape("x", x, "B", "D")
    check_shape("means", means, "K", x.shape[1])
    level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device).reshape(-1, 1)
    variance = deviations.square() + level.square()  # [B or 1,K]
    away = means - x[:, None]  # [B,K,D]
    log_density = weights.log() - 0.5 * x.shape[1] * variance.log() - 0.5 * away.square().sum(2) / variance
    return (log_density.softmax(1)[..., None] * away / variance[..., None]).sum(1)


def _evaluate(score: Score, x: Tensor) -> tuple[Tensor, Tensor]:
    """x [B,D] as a leaf that derivatives are taken to, and the score there."""
    check_shape("x", x, "B", "D")
    x = x.detach().clone().requires_grad_()
    s = score(x)
    check_shape("score(x)", s, *x.shape)
    return x, s
