import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.smoothness import concavity, total_variation


def bowl(sign, size=32, radius=1.0):
    """Points and normals of half a sphere seen from above: sign 1 a dome, -1 a bowl, both with normals towards the
    viewer."""
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size * 2 - 1
    y, x = torch.meshgrid(at, at, indexing="ij")
    inside = radius**2 - x**2 - y**2
    z = inside.clamp_min(0).sqrt()
    points = torch.stack([x, y, sign * z], -1)[None]
    normal = torch.stack([sign * x, sign * y, z], -1)[None] / radius
    return points, normal, (inside > 0.05).double()[None, ..., None]


def test_total_variation_of_a_step():
    image = torch.zeros(1, 4, 4, 1)
    image[:, :, 2:] = 3.0
    assert total_variation(image).item() == pytest.approx(3.0 / 3)  # one of three columns of differences
    assert total_variation(torch.full((2, 3, 3, 3), 0.7)).item() == 0


def test_a_dome_is_convex_and_a_bowl_is_not():
    assert concavity(*bowl(1)).item() < 1e-6
    assert concavity(*bowl(-1)).item() > 0.2


def test_a_plane_and_nothing_cost_nothing():
    points, _, _ = bowl(1)
    flat = points * torch.tensor([1.0, 1, 0], dtype=torch.float64)
    up = torch.tensor([0.0, 0, 1], dtype=torch.float64).expand_as(flat)
    ones = torch.ones_like(flat[..., :1])
    assert concavity(flat, up, ones).item() == pytest.approx(0, abs=1e-9)
    assert concavity(*bowl(-1)[:2], torch.zeros_like(ones)).item() == 0


def test_two_planes_of_a_valley_have_the_value_of_the_formula():
    """Two halves that rise at 45 degrees from the middle: across it, n . d depends on the two points alone."""
    at = torch.tensor([-0.75, -0.25, 0.25, 0.75], dtype=torch.float64)
    y, x = torch.meshgrid(at, at, indexing="ij")
    points = torch.stack([x, y, x.abs()], -1)[None]
    normal = torch.stack([-x.sign(), torch.zeros_like(x), torch.ones_like(x)], -1)[None] / math.sqrt(2)
    flat_points, flat_normal = points.reshape(-1, 3), normal.reshape(-1, 3)
    known = [max(0.0, float(flat_normal[i] @ torch.nn.functional.normalize(flat_points[j] - flat_points[i], dim=0)))
             for i in range(16) for j in range(16) if i != j]
    found = concavity(points, normal, torch.ones_like(points[..., :1]), cells=4)
    assert found.item() == pytest.approx(sum(known) / len(known), rel=1e-4)


def test_gradients():
    generator = torch.Generator().manual_seed(0)
    draw = lambda channels: torch.rand(1, 4, 4, channels, generator=generator, dtype=torch.float64)  # noqa: E731
    inputs = [draw(3).requires_grad_(), (draw(3) - 0.5).requires_grad_(), (draw(1) * 0.8 + 0.1).requires_grad_()]
    assert torch.autograd.gradcheck(lambda *values: concavity(*values, cells=2), inputs, atol=1e-4)
    assert torch.autograd.gradcheck(total_variation, [inputs[0]])


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="normal"):
        concavity(torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4, 2), torch.zeros(1, 4, 4, 1))
    with pytest.raises(ShapeError, match="image"):
        total_variation(torch.zeros(4, 4, 1))
