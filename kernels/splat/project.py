"""Projection of 3D Gaussians to ellipses in the picture."""
from __future__ import annotations

from typing import NamedTuple

import torch

from .. import backend, warp_runtime
from ..lens import Lens
from ..quaternion import rotation_matrices

LOW_PASS = 0.3        # pixels squared, added to the variance along both axes of the picture
FRUSTUM = 1.3         # times half the picture: beyond it the projection is linearised at the border instead
DARKEST = 1 / 255     # the alpha below which a Gaussian does not count in a pixel


class Ellipses(NamedTuple):
    """B views of N Gaussians.

    centers    [B,N,2]  pixels, x to the right and y down; the first pixel's centre is (0.5, 0.5)
    conics     [B,N,3]  1/pixels^2: power = (c0 dx^2 + c2 dy^2) / 2 + c1 dx dy
    opacities  [B,N]    at the centre
    depths     [B,N]    distance from the camera along its view direction, 1 for those not in front of it
    reach      [B,N,2]  pixels, half the sides of the box outside which alpha < DARKEST; 0 if not visible. No gradient
    """

    centers: torch.Tensor
    conics: torch.Tensor
    opacities: torch.Tensor
    depths: torch.Tensor
    reach: torch.Tensor


def project(positions: torch.Tensor, rotations: torch.Tensor, scales: torch.Tensor, opacities: torch.Tensor,
            c2w: torch.Tensor, lens: Lens, height: int, width: int, near: float, antialiased: bool) -> Ellipses:
    """Elliptical weighted averaging (Zwicker et al. 2001) as Kerbl et al. 2023 use it: each Gaussian is projected by
    the derivative of the camera's projection at its centre (for an orthographic lens that is the same everywhere), and
    widened by LOW_PASS. Arguments as in `splat`. Differentiable in all tensors.
    Backends: torch, warp (float32; antialiased calls and gradients to c2w or the lens use the reference).
    """
    run = backend.implementation("project_gaussians", positions.device, positions.dtype)
    return run(positions, rotations, scales, opacities[:, 0].expand(len(c2w), -1), c2w, lens, height, width, near,
               antialiased)


def _by_torch(positions, rotations, scales, opacities, c2w, lens, height, width, near, antialiased):
    right, down, ahead = c2w[:, None, :3, 0], -c2w[:, None, :3, 1], -c2w[:, None, :3, 2]
    focal = lens.focal(height)[:, None]
    offset = positions - c2w[:, None, :3, 3]
    depths = (offset * ahead).sum(-1)
    is_ahead = depths > near
    depths = torch.where(is_ahead, depths, 1.0)
    x, y = (offset * right).sum(-1), (offset * down).sum(-1)
    if not lens.is_orthographic:
        x, y = x / depths, y / depths
    centers = torch.stack([focal * x + 0.5 * width, focal * y + 0.5 * height], -1)

    # How fast the picture moves with the Gaussian's own axes; its covariance there is the Gram matrix of the two rows.
    axes = rotation_matrices(rotations) * scales[:, None, :]
    if lens.is_orthographic:
        rows = (torch.stack([right, down], 2) * focal[..., None, None]).expand(-1, len(positions), -1, -1)
    else:
        edge_x, edge_y = 0.5 * FRUSTUM * width / focal, 0.5 * FRUSTUM * height / focal
        rows = torch.stack([right - x.clamp(-edge_x, edge_x)[..., None] * ahead,
                            down - y.clamp(-edge_y, edge_y)[..., None] * ahead], 2) * (focal / depths)[..., None, None]
    across, along = (rows @ axes).unbind(2)
    xx, yy, xy = across.square().sum(-1), along.square().sum(-1), (across * along).sum(-1)
    # The determinant as the area of a parallelogram: xx yy - xy^2 would cancel for needles.
    sharp = torch.linalg.cross(across, along).square().sum(-1)
    area = sharp + LOW_PASS * (xx + yy) + LOW_PASS**2
    xx, yy = xx + LOW_PASS, yy + LOW_PASS
    conics = torch.stack([yy, -xy, xx], -1) / area[..., None]
    if antialiased:
        opacities = opacities * (sharp / area).clamp(min=torch.finfo(area.dtype).eps).sqrt()
    return Ellipses(centers, conics, opacities, depths, _reach(centers, xx, yy, opacities, is_ahead, height, width))


@torch.no_grad()
def _reach(centers, xx, yy, opacities, is_ahead, height, width):
    sigmas = 2 * torch.log(opacities.clamp(min=DARKEST) / DARKEST)
    reach = torch.stack([xx, yy], -1).mul(sigmas[..., None]).sqrt()
    (left, top), (right, bottom) = (centers - reach).unbind(-1), (centers + reach).unbind(-1)
    is_inside = (right > 0) & (bottom > 0) & (left < width) & (top < height)
    return torch.where((is_ahead & is_inside)[..., None], reach, 0.0)


def _by_warp(positions, rotations, scales, opacities, c2w, lens, height, width, near, antialiased):
    from .project_warp import Project

    if antialiased or c2w.requires_grad or lens.half.requires_grad:
        return _by_torch(positions, rotations, scales, opacities, c2w, lens, height, width, near, antialiased)

    def reference(*again):
        found = _by_torch(*again, opacities.detach(), c2w, lens, height, width, near, False)
        return found.centers, found.conics, found.depths

    right, up, back, position = c2w[:, :3].unbind(-1)
    turned = torch.stack([right, -up, -back, position], 1)
    focal = lens.focal(height)[:, None]
    views = torch.cat([turned.flatten(1), focal, torch.full_like(focal, float(lens.is_orthographic))], 1)
    centers, conics, depths, reach = Project.apply(positions, rotations, scales, opacities[:1], views, height, width,
                                                   near, reference)
    return Ellipses(centers, conics, opacities, depths, reach)


def _self_test(device: torch.device) -> None:
    """Raises unless Warp's ellipses of a few Gaussians, and their gradients, equal those of the reference."""
    place = torch.arange(0.0, 12.0, device=device)[:, None]
    c2w = torch.eye(4, device=device).repeat(2, 1, 1)
    c2w[:, 2, 3] = torch.tensor([4.0, 1.0])
    opacities, half = (0.5 + 0.4 * place[:, 0].sin()).expand(2, -1), torch.tensor([0.4, 0.7], device=device)
    found = [[], []]
    for lens in Lens(half), Lens(4 * half, True):
        for run, made in zip((_by_torch, _by_warp), found):
            leaves = [torch.cat([(place * k + k).sin() + lift for k in range(1, size + 1)], 1).requires_grad_()
                      for size, lift in ((3, 0.0), (4, 0.2), (3, 1.1))]
            seen = run(*leaves, opacities, c2w, lens, 12, 16, 0.01, False)
            value = seen.centers.sin().sum() + seen.conics.sum() + seen.depths.sum()
            made += [*seen, *torch.autograd.grad(value, leaves)]
    names = (*Ellipses._fields, "the gradient of positions", "of rotations", "of scales") * 2
    for name, wanted, got in zip(names, *found):
        backend.expect_close(name, got, wanted)


backend.register("project_gaussians", backend.REFERENCE, _by_torch)
backend.register("project_gaussians", "warp", _by_warp, warp_runtime.unusable, _self_test)
