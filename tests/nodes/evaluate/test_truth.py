"""Pictures and surface points of exact shapes against closed forms."""
import math

import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.evaluate.truth import bounding_diagonal, true_rendering, true_surface
from distill3d.nodes.shapes.caption import COLORS, parse_shape

RADIUS = 0.72  # of a single sphere


def test_rendering_of_a_sphere():
    truth = true_rendering(parse_shape("a red sphere"), turntable(3, 20.0, 3.2, 40.0, 17), supersample=5)
    assert truth.rgb.shape == truth.albedo.shape == truth.normal.shape == (3, 17, 17, 3)
    assert truth.opacity.shape == truth.depth.shape == (3, 17, 17, 1)
    red = torch.tensor(COLORS["red"])
    torch.testing.assert_close(truth.albedo, truth.opacity * red, atol=1e-5, rtol=0)
    torch.testing.assert_close(truth.rgb, truth.albedo + 1 - truth.opacity, atol=1e-5, rtol=0)
    middle = truth.depth[:, 8, 8, 0]
    torch.testing.assert_close(middle, torch.full((3,), 3.2 - RADIUS), atol=5e-3, rtol=0)
    assert bool((truth.opacity[:, 8, 8] == 1).all() and (truth.opacity[:, 0, 0] == 0).all())
    # Solid angle of a sphere on a plane at distance 1: the disc of radius tan(asin(r / d)).
    disc = math.pi * math.tan(math.asin(RADIUS / 3.2)) ** 2 / (2 * math.tan(math.radians(20))) ** 2
    torch.testing.assert_close(truth.opacity.mean((1, 2, 3)), torch.full((3,), disc), atol=0.01, rtol=0)
    toward = turntable(3, 20.0, 3.2, 40.0, 17).position / 3.2
    torch.testing.assert_close(truth.normal[:, 8, 8], toward, atol=0.01, rtol=0)


def test_rendering_wants_square_cameras():
    with pytest.raises(DistillError, match="8 x 4"):
        true_rendering(parse_shape("a red sphere"), turntable(1, 0.0, 3.2, 40.0, 4).resized(8, 4))


@pytest.mark.parametrize("caption, diagonal", [
    ("a red sphere", 2 * RADIUS * 3**0.5), ("a red cube", 1.6 * RADIUS * 3**0.5),
    ("a red capsule", 2 * RADIUS * (0.25 + 0.25 + 1) ** 0.5),
    ("a red cube on top of a blue cube", 0.46 * (1.6**2 + 1.6**2 + 3.2**2) ** 0.5)])
def test_bounding_diagonal(caption, diagonal):
    assert bounding_diagonal(parse_shape(caption)) == pytest.approx(diagonal, rel=1e-5)
    points = true_surface(parse_shape(caption), 4000).points
    assert float((points.amax(0) - points.amin(0)).norm()) == pytest.approx(diagonal, rel=0.02)


def test_surface_points_are_even_and_repeatable():
    surface = true_surface(parse_shape("a red sphere"), 4000)
    assert surface.points.shape == (4000, 3)
    torch.testing.assert_close(surface.points.norm(dim=-1), torch.full((4000,), RADIUS), atol=1e-4, rtol=0)
    # Archimedes: equal slabs of a sphere carry equal area.
    slabs = torch.histc(surface.points[:, 2] / RADIUS, 4, -1, 1) / 4000
    torch.testing.assert_close(slabs, torch.full((4,), 0.25), atol=0.03, rtol=0)
    assert torch.equal(surface.points, true_surface(parse_shape("a red sphere"), 4000).points)


def test_surface_leaves_out_the_seam():
    points = true_surface(parse_shape("a red cube on top of a blue cube"), 4000).points
    edge = 0.8 * 0.46
    on_wall = (points[:, :2].abs().amax(1) - edge).abs() < 1e-3
    on_end = (points[:, 2].abs() - 2 * edge).abs() < 1e-3
    assert bool((on_wall | on_end).all())
    share = 2 * (2 * edge) ** 2 / (2 * (2 * edge) ** 2 + 4 * 2 * edge * 4 * edge)
    assert float(on_end.float().mean()) == pytest.approx(share, abs=0.03)
