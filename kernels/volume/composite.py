"""Volume rendering of packed samples: weights, and weighted sums along each ray."""
from __future__ import annotations

import torch

from .. import backend, warp_runtime
from ..checks import check_shape
from .segment import Segments, exclusive_sum, segment_sum, segments

# exp(-80) is 2e-35: a segment this thick is opaque, and thicker ones (even infinite) would only
# spoil the running sum.
_OPAQUE = 80.0


def composite(density: torch.Tensor, delta: torch.Tensor, ray: torch.Tensor,
              rays: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Volume-rendering weights for packed samples (Max 1995, eq. 3).

    density  [S] >= 0, after activation, 1/length; may be infinite
    delta    [S] segment length, > 0
    ray      [S] int64, sorted, in [0, rays): the ray of each sample, nearest sample first
    rays     number of rays R; a ray may have no sample

    Returns weights [S] = exp(-sum of earlier density * delta) * (1 - exp(-density * delta)) and
    opacity [R], their sum over the ray. Half precision is raised to float32. Differentiable in
    density, to any order, not in delta. Raises ShapeError naming the argument. Memory O(S).
    Backends: torch, warp (float32; second derivatives use the reference).
    """
    check_shape("density", density, "S")
    check_shape("delta", delta, density.shape[0])
    check_shape("ray", ray, density.shape[0])
    density, delta = _widen(density), _widen(delta.detach())
    run = backend.implementation("composite", density.device, torch.promote_types(density.dtype, delta.dtype))
    return run(density, delta, segments(ray, rays))


def _by_torch(density: torch.Tensor, delta: torch.Tensor, of: Segments) -> tuple[torch.Tensor, torch.Tensor]:
    depth = (density * delta).clamp(max=_OPAQUE)
    weights = torch.exp(-exclusive_sum(depth, of)) * -torch.expm1(-depth)
    return weights, -torch.expm1(-segment_sum(depth, of))


def _by_warp(density: torch.Tensor, delta: torch.Tensor, of: Segments) -> tuple[torch.Tensor, torch.Tensor]:
    from .composite_warp import Composite

    return Composite.apply(density, delta, of.offsets, _OPAQUE, lambda again: _by_torch(again, delta, of))


def composite_alpha(alpha: torch.Tensor, ray: torch.Tensor, rays: int) -> tuple[torch.Tensor, torch.Tensor]:
    """`composite` for samples that come as opacities: weights = alpha * product of earlier (1 - alpha).

    alpha  [S] in [0, 1]; ray, rays as in `composite`

    Returns weights [S] and opacity [R]. A sample with alpha = 1 lets the next see 1e-7 of the light
    (float32), so that its gradient stays finite. Differentiable in alpha, to any order.
    Raises ShapeError. Source: Mildenhall et al. 2020 (NeRF), eq. 3; the form that NeuS (Wang et al. 2021) needs.
    """
    check_shape("alpha", alpha, "S")
    check_shape("ray", ray, alpha.shape[0])
    of = segments(ray, rays)
    alpha = _widen(alpha)
    depth = -torch.log1p(-alpha.clamp(max=1 - torch.finfo(alpha.dtype).eps))
    weights = torch.exp(-exclusive_sum(depth, of)) * alpha
    return weights, segment_sum(weights, of)


def accumulate(weights: torch.Tensor, values: torch.Tensor | None, ray: torch.Tensor, rays: int) -> torch.Tensor:
    """Weighted sum of the samples' values over each ray: the expected colour, depth, normal.

    weights  [S]
    values   [S, C], or None to sum the weights themselves (C = 1)
    ray      [S] int64, sorted, in [0, rays)

    Returns [R, C]; a ray without samples gets zeros. Nothing is divided by opacity. Differentiable
    in weights and values, to any order. Raises ShapeError naming the argument.
    """
    check_shape("weights", weights, "S")
    check_shape("ray", ray, weights.shape[0])
    of = segments(ray, rays)
    if values is None:
        return segment_sum(weights, of)[:, None]
    check_shape("values", values, weights.shape[0], "C")
    values = values.to(torch.promote_types(weights.dtype, values.dtype))
    weights = weights.to(values.dtype)
    if of.width is not None:
        rows = values.reshape(rays, of.width, values.shape[1])
        return torch.bmm(weights.reshape(rays, 1, of.width), rows)[:, 0]
    return segment_sum(weights[:, None] * values, of)


def distortion(weights: torch.Tensor, t: torch.Tensor, delta: torch.Tensor, ray: torch.Tensor,
               rays: int) -> torch.Tensor:
    """How spread out the weights of a ray are: zero for one thin opaque surface.

    weights  [S]
    t        [S] middle of each segment, increasing along the ray
    delta    [S] segment length
    ray      [S] int64, sorted, in [0, rays)

    Returns [R], sum over i, j of w_i w_j |t_i - t_j| plus a third of the sum of w_i**2 delta_i, in
    O(S) by running sums. Differentiable in weights, t and delta. Raises ShapeError.
    Source: Barron et al. 2022 (mip-NeRF 360), eq. 15.
    """
    check_shape("weights", weights, "S")
    for name, value in (("t", t), ("delta", delta), ("ray", ray)):
        check_shape(name, value, weights.shape[0])
    of = segments(ray, rays)
    # |t_i - t_j| is t_i - t_j for every earlier j, and each pair counts twice.
    between = weights * (t * exclusive_sum(weights, of) - exclusive_sum(weights * t, of))
    return segment_sum(2 * between + weights**2 * delta / 3, of)


def _widen(values: torch.Tensor) -> torch.Tensor:
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _self_test(device: torch.device) -> None:
    """Raises unless Warp's weights, opacity and gradient equal those of the reference on a few rays."""
    place = torch.arange(24.0, device=device)
    of, delta = segments((place // 5).long(), 6), 0.1 + 0.05 * place.cos()
    found = []
    for run in _by_torch, _by_warp:
        density = (4 + 4 * place.sin()).requires_grad_()
        weights, opacity = run(density, delta, of)
        found.append((weights, opacity, *torch.autograd.grad(weights.square().sum() + opacity.sum(), density)))
    for name, wanted, got in zip(("weights", "opacity", "the gradient"), *found):
        backend.expect_close(name, got, wanted)


backend.register("composite", backend.REFERENCE, _by_torch)
backend.register("composite", "warp", _by_warp, warp_runtime.unusable, _self_test)
