"""Surface normals of a density (the direction of steepest descent) or of a signed distance."""
from __future__ import annotations

from typing import Callable

import torch

from ..checks import check_shape

DensityFn = Callable[[torch.Tensor], torch.Tensor]


def analytic_normals(density_fn: DensityFn, x: torch.Tensor,
                     create_graph: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Density at points and the normals -grad / |grad| by differentiating it.

    density_fn    [N, 3] -> [N]
    x             [N, 3]
    create_graph  normals can be trained on (the field must be twice differentiable)

    Returns density [N], differentiable as usual, and unit normals [N, 3], zero where the gradient
    is zero (and their own gradient is zero there). Works under no_grad; then nothing is recorded.
    For a signed distance negate the function: sdf grows outwards.
    Raises ShapeError; RuntimeError in inference mode or where density does not depend on x.
    """
    check_shape("x", x, "N", 3)
    if torch.is_inference_mode_enabled():
        raise RuntimeError("analytic_normals needs autograd, which inference mode switches off. "
                           "Call it under torch.inference_mode(False), or use finite differences.")
    recording = torch.is_grad_enabled()
    with torch.enable_grad():
        if not (recording and x.requires_grad):
            # An inference tensor cannot be differentiated; its clone made here can.
            x = (x.clone() if x.is_inference() else x).detach().requires_grad_()
        density = density_fn(x)
        check_shape("density_fn(x)", density, x.shape[0])
        if not density.requires_grad:
            raise RuntimeError("analytic_normals: the density does not depend on x through autograd; "
                               "use finite_difference_normals for this field")
        create_graph = create_graph and recording
        gradient, = torch.autograd.grad(density.sum(), x, create_graph=create_graph, retain_graph=recording)
        normal = _unit(-gradient)
    return density if recording else density.detach(), normal if create_graph else normal.detach()


def finite_difference_normals(density_fn: DensityFn, x: torch.Tensor, epsilon: float, scheme: str = "forward",
                              density: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Density at points and the normals from density at neighbours, `epsilon` away along the axes.

    density_fn  [N, 3] -> [N]
    x           [N, 3]
    epsilon     distance, > 0, in units of x
    scheme      "forward": 3 more evaluations a point, error O(epsilon); "central": 6, O(epsilon**2)
    density     [N] at x where already known, which saves one evaluation

    Returns density [N] and unit normals [N, 3], zero where the differences are. All evaluations go
    in one call. Both are differentiable, and the field is differentiated once only.
    Raises ShapeError, ValueError.
    """
    density, difference = _differences(density_fn, x, epsilon, scheme, density)
    return density, _unit(-difference)


def finite_difference_gradient(sdf_fn: DensityFn, x: torch.Tensor, epsilon: float, scheme: str = "forward",
                               sdf: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Signed distance at points, its gradient, and the normals: where it points, for distances grow outwards.

    Arguments as of `finite_difference_normals`. Returns sdf [N], gradient [N, 3], of length 1 where the distance is a
    true one, and unit normals [N, 3]. Everything else as there.
    """
    sdf, difference = _differences(sdf_fn, x, epsilon, scheme, sdf)
    return sdf, difference / (epsilon if scheme == "forward" else 2 * epsilon), _unit(difference)


def _differences(fn: DensityFn, x: torch.Tensor, epsilon: float, scheme: str,
                 value: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """fn at x [N], and its differences along the axes [N, 3]."""
    check_shape("x", x, "N", 3)
    if not epsilon > 0:
        raise ValueError(f"epsilon must be positive, got {epsilon}")
    if scheme not in ("forward", "central"):
        raise ValueError(f'scheme must be "forward" or "central", got "{scheme}"')
    shift = epsilon * torch.eye(3, device=x.device, dtype=x.dtype)
    shifts = shift if scheme == "forward" else torch.cat((shift, -shift))
    points = [(x[None] + shifts[:, None]).reshape(-1, 3)]
    if value is None:
        points.insert(0, x)
    values = fn(torch.cat(points))
    check_shape("the function of x", values, sum(part.shape[0] for part in points))
    if value is None:
        value, values = values.split((x.shape[0], values.shape[0] - x.shape[0]))
    check_shape("the value at x", value, x.shape[0])
    near = values.reshape(shifts.shape[0], x.shape[0])
    difference = near - value if scheme == "forward" else near[:3] - near[3:]
    return value, difference.t()


def _unit(vector: torch.Tensor) -> torch.Tensor:
    """vector / |vector|, and 0 with zero gradient where it vanishes."""
    square = vector.square().sum(1, keepdim=True)
    ok = square > torch.finfo(vector.dtype).tiny
    return vector * torch.where(ok, torch.where(ok, square, 1).rsqrt(), 0)
