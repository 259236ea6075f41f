import math

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.surface.silhouette import (
    best_threshold,
    drawn_silhouette,
    highest_along_rays,
    scene_views,
    silhouette_iou,
)

BOUNDS = torch.tensor([[-1.0] * 3, [1.0] * 3])


def cone_of_density(size=33):
    """1 - |x|: the silhouette of the surface at t is a ball of radius 1 - t."""
    line = torch.linspace(-1, 1, size)
    return 1 - torch.stack(torch.meshgrid(line, line, line, indexing="ij"), -1).norm(dim=-1)


def test_highest_along_rays_is_what_the_ray_passes():
    cameras = orbit(torch.tensor([0.0, 0.7]), torch.tensor([0.0, 0.4]), 4.0, math.radians(30), 24, 24)
    highest = highest_along_rays(cone_of_density(), BOUNDS, cameras)
    origin, direction = cameras.rays()
    nearest = torch.linalg.cross(origin, direction).norm(dim=-1)
    # Below the corner distance of the box a ray meets the ball around the origin; linear interpolation costs little.
    near = nearest < 0.9
    torch.testing.assert_close(highest[near], 1 - nearest[near], atol=0.03, rtol=0)


def test_rays_that_miss_the_grid_are_minus_infinity():
    cameras = orbit(0.0, 0.0, 4.0, math.radians(90), 17, 17)
    highest = highest_along_rays(cone_of_density(), BOUNDS, cameras)
    assert highest[0, 0, 0] == -math.inf and highest[0, 8, 8] > 0.95


def test_axes_are_not_exchanged():
    values = torch.zeros(17, 17, 17)
    values[12:14, 8, 3:5] = 1.0                          # at x = 0.5..0.625, y = 0, z = -0.625..-0.5
    cameras = orbit(-math.pi / 2, 0.0, 4.0, math.radians(40), 64, 64)          # from -y: x to the right, z up
    row, column = highest_along_rays(values, BOUNDS, cameras)[0].gt(0.5).nonzero().double().mean(0)
    focal = 32 / math.tan(math.radians(20))
    assert abs(column - (31.5 + focal * 0.5625 / 4)) < 1 and abs(row - (31.5 + focal * 0.5625 / 4)) < 1


def test_best_threshold_is_exact():
    highest = torch.tensor([0.9, 0.1, 0.5, 0.3, 0.7, -math.inf])
    threshold, overlap = best_threshold(highest, torch.tensor([True, False, True, False, True, False]))
    assert overlap == 1.0 and 0.3 < threshold < 0.5
    # One pixel of the scene is emptier than one that is not of it: best without either.
    threshold, overlap = best_threshold(highest, torch.tensor([True, True, True, False, True, False]))
    assert overlap == pytest.approx(4 / 5) and 0 < threshold < 0.1          # 0.75 above, 0.8 with both
    assert best_threshold(torch.zeros(4), torch.ones(4, dtype=torch.bool)) == (0.0, 0.0)


def test_views_are_filled_by_the_content(soft_scene):
    for size in (0.2, 0.8):
        views = scene_views(soft_scene(size=size).build(), 40)
        rows = views.opaque.any(0).any(1).nonzero()
        assert 28 <= int(rows.max() - rows.min()) + 1 <= 38
        assert not bool(views.opaque[:, 0].any() | views.opaque[:, -1].any())


def test_silhouette_iou():
    a, b = torch.tensor([True, True, False]), torch.tensor([False, True, True])
    assert silhouette_iou(a, b) == pytest.approx(1 / 3)
    assert silhouette_iou(a & b & ~a, a & ~a) == 1.0


def test_a_mesh_appears_where_its_rays_hit():
    cameras = orbit(torch.tensor([0.0, 2.0]), torch.tensor([0.3, -0.5]), 3.0, math.radians(40), 32, 32)
    vertices = torch.cat([torch.zeros(1, 3), 0.7 * torch.eye(3)])
    seen = drawn_silhouette(vertices, torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]), cameras)
    origin, direction = cameras.rays()
    t = torch.linspace(1.5, 4.5, 600)[:, None, None, None, None]
    x = origin + t * direction
    inside = ((x > 0).all(-1) & (x.sum(-1) < 0.7)).any(0)
    assert seen.shape == (2, 32, 32) and silhouette_iou(seen, inside) > 0.95
