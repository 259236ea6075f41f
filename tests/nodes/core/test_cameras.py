import math

import pytest
import torch

from distill3d.nodes.core.cameras import look_at, on_sphere, orbit, turntable, wrap_angle

AROUND = torch.linspace(-3.0, 3.0, 7)


def test_azimuth_0_is_in_front_and_azimuth_90_is_on_plus_y():
    cameras = orbit([0.0, math.pi / 2, 0.0], [0.0, 0.0, math.pi / 2], 2.0, 0.7, 4, 4)
    expected = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    assert torch.allclose(cameras.position, expected, atol=1e-6)


def test_front_camera_has_opengl_axes():
    axes = orbit(0.0, 0.0, 2.0, 0.7, 4, 4).c2w[0, :3, :3]
    right, up, backward = axes.T
    assert torch.allclose(right, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6)
    assert torch.allclose(up, torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)
    assert torch.allclose(backward, torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)


def test_every_camera_is_a_rotation_and_a_position():
    cameras = orbit(AROUND, torch.linspace(-1.5, 1.5, 7), 2.0, 0.7, 4, 4)
    axes = cameras.c2w[:, :3, :3]
    assert torch.allclose(axes @ axes.mT, torch.eye(3).expand(7, 3, 3), atol=1e-5)
    assert torch.allclose(torch.linalg.det(axes), torch.ones(7), atol=1e-5)
    assert torch.equal(cameras.c2w[:, 3], torch.tensor([0.0, 0, 0, 1]).expand(7, 4))


@pytest.mark.parametrize("elevation", [-90.0, -30.0, 0.0, 60.0, 90.0])
def test_the_middle_ray_hits_the_origin(elevation):
    cameras = orbit(AROUND, math.radians(elevation), 2.5, 0.7, 5, 7)
    origins, directions = cameras.rays()
    middle = origins[:, 2, 3] + 2.5 * directions[:, 2, 3]
    assert torch.allclose(middle, torch.zeros(7, 3), atol=1e-5)


def test_row_0_is_the_top_and_column_0_is_the_left():
    _, directions = orbit(0.0, 0.0, 2.0, math.radians(90), 4, 4).rays()
    assert (directions[0, 0, :, 2] > 0).all() and (directions[0, -1, :, 2] < 0).all()
    assert (directions[0, :, 0, 1] < 0).all() and (directions[0, :, -1, 1] > 0).all()


def test_rays_are_unit_vectors_that_span_the_vertical_field_of_view():
    fovy, height = math.radians(50), 1001
    _, directions = orbit(0.3, 0.2, 2.0, fovy, height, 3).rays()
    assert torch.allclose(directions.norm(dim=-1), torch.ones(1, height, 3), atol=1e-5)
    angle = torch.acos((directions[0, 0, 1] * directions[0, -1, 1]).sum())
    assert angle.item() == pytest.approx(fovy, rel=2e-3)


def test_pixels_are_square():
    _, directions = orbit(0.0, 0.0, 2.0, 0.9, 3, 9).rays()
    slope = directions / -directions[..., :1]
    assert (slope[0, 1, 5, 1] - slope[0, 1, 4,
                                      1]).item() == pytest.approx((slope[0, 0, 4, 2] - slope[0, 1, 4, 2]).item())


@pytest.mark.parametrize("elevation", [-90.0, 90.0])
def test_straight_views_are_finite_and_turn_with_the_azimuth(elevation):
    exact = orbit(AROUND, math.radians(elevation), 2.0, 0.7, 4, 4)
    nearly = orbit(AROUND, math.radians(elevation * 0.9999), 2.0, 0.7, 4, 4)
    assert torch.isfinite(exact.c2w).all()
    assert torch.allclose(exact.c2w, nearly.c2w, atol=1e-3)


def test_look_at_along_up_is_a_rotation():
    up = torch.tensor([[0.0, 0.0, 1.0]])
    axes = look_at(2 * up, torch.zeros(1, 3), up)[0, :3, :3]
    assert torch.allclose(axes @ axes.T, torch.eye(3), atol=1e-6)
    assert torch.linalg.det(axes).item() == pytest.approx(1.0)


def test_on_sphere_gives_unit_vectors():
    assert torch.allclose(on_sphere(AROUND, AROUND / 2).norm(dim=-1), torch.ones(7))


def test_angles_wrap_into_minus_pi_to_pi():
    angles = torch.tensor([0.0, math.pi, -math.pi, 1.5 * math.pi, -1.5 * math.pi, 5 * math.pi, 100.0])
    wrapped = wrap_angle(angles)
    assert (wrapped > -math.pi).all() and (wrapped <= torch.tensor(math.pi)).all()
    assert torch.allclose(torch.cos(wrapped), torch.cos(angles), atol=1e-5)
    assert torch.allclose(torch.sin(wrapped), torch.sin(angles), atol=1e-5)
    assert wrapped[0] == 0 and wrapped[2] == torch.tensor(math.pi)


def test_turntable_goes_evenly_around():
    cameras = turntable(4, 30.0, 2.0, 40.0, 8)
    assert torch.allclose(cameras.azimuth, torch.tensor([0.0, 0.5, 1.0, 1.5]) * math.pi)
    assert torch.allclose(cameras.elevation, torch.full((4,), math.radians(30)))
    assert torch.allclose(cameras.position[:, 2], torch.ones(4), atol=1e-6)
    assert cameras.fovy[0].item() == pytest.approx(math.radians(40)) and (cameras.height, cameras.width) == (8, 8)


def test_taking_and_resizing_leave_the_rest_alone():
    cameras = orbit(AROUND, 0.2, 2.0, 0.7, 4, 4)
    some = cameras.take([5, 1]).resized(2, 3)
    assert len(some) == 2 and len(cameras) == 7
    assert torch.equal(some.c2w, cameras.c2w[[5, 1]]) and torch.equal(some.azimuth, AROUND[[5, 1]])
    assert (some.height, some.width, cameras.height) == (2, 3, 4)
    assert some.rays()[1].shape == (2, 2, 3, 3)


def test_no_camera_at_all():
    cameras = orbit(torch.zeros(0), 0.0, 2.0, 0.7, 4, 4)
    assert len(cameras) == 0 and cameras.rays()[0].shape == (0, 4, 4, 3)
