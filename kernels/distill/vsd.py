"""Variational score distillation: against a second model that knows what is painted now."""
from __future__ import annotations

from torch import Tensor

from ..checks import check_shape
from .prediction import error_scale
from .weighting import weight


def vsd_gradient(z0: Tensor, z0_painted: Tensor, sigma: Tensor, weighting: str = "sds") -> Tensor:
    """The VSD gradient w(t) (eps_hat - eps_painted) with respect to z (Wang et al. 2023, eq. 9).

    z0          [B,C,h,w] the pretrained model's guided prediction of the clean image from z_t
    z0_painted  [B,C,h,w] the prediction, from the same z_t, of a model of what is being painted
    sigma       [B]  sqrt((1 - abar) / abar) of each sample's timestep

    (z0_painted - z0) / sigma equals eps_hat - eps_painted, whatever either model predicts. SDS is the case of a second
    model that knows the noise: z0_painted = z. Returns [B,C,h,w], detached.
    """
    factor = (weight(sigma, weighting) / sigma).reshape(-1, 1, 1, 1)
    return (factor * (z0_painted - z0)).detach()


def denoising_error(z: Tensor, z0: Tensor, sigma: Tensor, prediction: str = "epsilon") -> Tensor:
    """Mean squared error of what a network predicts, from the clean image that its prediction means.

    z, z0       [B,C,h,w] the clean image, and the prediction of it from z_t
    sigma       [B]  as above
    prediction  what the network predicts, one of kernels.distill.prediction.PREDICTIONS; "epsilon" gives
                |eps_hat - eps|^2 = |z - z0|^2 / sigma^2 (Ho et al. 2020, eq. 14)

    Returns a scalar, the mean over elements. Differentiable in z0 and z. Raises ShapeError, ValueError for another
    prediction.
    """
    check_shape("z", z, "B", "C", "h", "w")
    check_shape("z0", z0, *z.shape)
    return (error_scale(sigma, prediction).reshape(-1, 1, 1, 1) * (z - z0)).square().mean()
