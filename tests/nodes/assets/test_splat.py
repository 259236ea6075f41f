import math

import pytest
import torch

from distill3d.kernels.quaternion import rotation_matrices
from distill3d.nodes.assets.splat import (
    Splat,
    from_splat_frame,
    seen_colors,
    sh_of,
    to_splat_frame,
    turn_from_splat_frame,
    turn_to_splat_frame,
)
from random_splat import random_splat


def test_the_frames_of_vectors_and_rotations_agree():
    one = random_splat()
    there = rotation_matrices(turn_to_splat_frame(one.rotations))
    torch.testing.assert_close(there, to_splat_frame(rotation_matrices(one.rotations).mT).mT, atol=1e-6, rtol=0)
    assert torch.equal(from_splat_frame(to_splat_frame(one.positions)), one.positions)
    torch.testing.assert_close(turn_from_splat_frame(turn_to_splat_frame(one.rotations)), one.rotations, atol=2e-7,
                               rtol=0)


def test_colours_of_degree_0_are_the_same_from_everywhere():
    colors = torch.rand(5, 3)
    one = Splat(torch.randn(5, 3), torch.randn(5, 4), torch.rand(5, 3), torch.rand(5, 1), sh_of(colors))
    torch.testing.assert_close(seen_colors(one, torch.randn(2, 3)), colors)


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_colours_change_with_the_direction_in_the_frame_of_files(degree):
    """Against the formulas of 3D Gaussian Splatting, at the splat's own places."""
    one, eyes = random_splat(degree=degree), torch.tensor([[3.0, 0.5, 1.0], [-1.0, 2.0, -2.0]])
    x, y, z = torch.nn.functional.normalize(to_splat_frame(one.positions[None] - eyes[:, None]), dim=-1).unbind(-1)
    basis = [torch.full_like(x, 0.28209479177387814), -0.4886025119029199 * y, 0.4886025119029199 * z,
             -0.4886025119029199 * x]
    if degree > 1:
        basis += [1.0925484305920792 * x * y, -1.0925484305920792 * y * z,
                  0.31539156525252005 * (2 * z * z - x * x - y * y),
                  -1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y)]
    if degree > 2:
        basis += [-0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z,
                  -0.4570457994644658 * y * (4 * z * z - x * x - y * y),
                  0.3731763325901154 * z * (2 * z * z - 3 * x * x - 3 * y * y),
                  -0.4570457994644658 * x * (4 * z * z - x * x - y * y), 1.445305721320277 * z * (x * x - y * y),
                  -0.5900435899266435 * x * (x * x - 3 * y * y)]
    wanted = (0.5 + sum(b[..., None] * one.sh[:, k] for k, b in enumerate(basis))).clamp_min(0)
    torch.testing.assert_close(seen_colors(one, eyes), wanted, atol=1e-5, rtol=0)


def test_the_mean_over_all_directions_is_band_0():
    one = random_splat(1, 2)
    count = 4000
    turn = torch.arange(count) * math.pi * (3 - math.sqrt(5))
    z = 1 - (2 * torch.arange(count) + 1) / count
    eyes = one.positions + 100 * torch.stack([(1 - z * z).sqrt() * turn.cos(), (1 - z * z).sqrt() * turn.sin(), z], 1)
    bright = Splat(one.positions, one.rotations, one.scales, one.opacities, 0.2 * one.sh)  # nothing is cut off at 0
    torch.testing.assert_close(seen_colors(bright, eyes).mean(0), seen_colors(bright, None), atol=1e-3, rtol=0)
