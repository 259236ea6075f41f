"""Variational score distillation: the difference to a second model that is trained on the current renderings."""
from __future__ import annotations

from torch import Tensor

from ..checks import check_shape
from .prediction import error_scale
from .weighting import weight


def vsd_gradient(z0: Tensor, z0_rendered: Tensor, sigma: Tensor, weighting: str = "sds",
                 before: Tensor | None = None) -> Tensor:
    """The VSD gradient w(t) (eps_hat - eps_rendered) with respect to z (Wang et al. 2023, eq. 9).

    z0          [B,C,h,w] the pretrained model's guided prediction of the clean image from z_t
    z0_rendered  [B,C,h,w] the prediction, from the same z_t, of a model of the current renderings
    sigma       [B]  sqrt((1 - abar) / abar) of each sample's timestep
    before      [B]  that of the timestep before, for the weighting "elbo"

    (z0_rendered - z0) / sigma equals eps_hat - eps_rendered, whatever either model predicts. SDS is the case of a
    second model that predicts the true noise: z0_rendered = z. Returns [B,C,h,w], detached.
    """
    factor = (weight(sigma, weighting, before) / sigma).reshape(-1, 1, 1, 1)
    return (factor * (z0_rendered - z0)).detach()


def denoising_error(z: Tensor, z0: Tensor, sigma: Tensor, prediction: str = "epsilon") -> Tensor:
    """Mean squared error of a network's prediction, computed from the corresponding clean image.

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
