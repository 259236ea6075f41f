"""What the networks of diffusion models predict, turned into clean images and errors.

A noisy image is z_t = a z + b n with noise n. With sigma = b / a the kinds are

    "epsilon"       n                      z0 = (z_t - b p) / a      Ho et al. 2020
    "v_prediction"  a n - b z, a^2+b^2=1   z0 = a z_t - b p          Salimans and Ho 2022, sec. 4
    "flow"          n - z,     a + b = 1   z0 = z_t - b p            Lipman et al. 2023; rectified flow, Liu et al. 2023
    "x0"            z                      z0 = p
"""
from __future__ import annotations

from torch import Tensor

PREDICTIONS = ("epsilon", "v_prediction", "flow", "x0")


def clean_image(z_t: Tensor, a: Tensor, b: Tensor, predicted: Tensor, prediction: str) -> Tensor:
    """z0 [B,C,h,w] from what a network predicts.

    z_t, predicted  [B,C,h,w]
    a, b            [B,1,1,1] signal and noise of z_t

    Differentiable. Raises ValueError for another kind of prediction.
    """
    if prediction == "epsilon":
        return (z_t - b * predicted) / a
    if prediction == "v_prediction":
        return a * z_t - b * predicted
    if prediction == "flow":
        return z_t - b * predicted
    if prediction == "x0":
        return predicted
    raise ValueError(f'prediction must be one of {", ".join(PREDICTIONS)}, got "{prediction}"')


def error_scale(sigma: Tensor, prediction: str) -> Tensor:
    """The factor between an error of z0 and the error of the prediction: |p_hat - p| = factor |z0 - z|, [B] for sigma
    [B].

    "epsilon" 1 / sigma, "v_prediction" sqrt(1 + sigma^2) / sigma, "flow" (1 + sigma) / sigma, "x0" 1.
    Raises ValueError for another kind of prediction.
    """
    if prediction == "epsilon":
        return 1 / sigma
    if prediction == "v_prediction":
        return (1 + sigma.square()).sqrt() / sigma
    if prediction == "flow":
        return (1 + sigma) / sigma
    if prediction == "x0":
        return sigma.new_ones(sigma.shape)
    raise ValueError(f'prediction must be one of {", ".join(PREDICTIONS)}, got "{prediction}"')
