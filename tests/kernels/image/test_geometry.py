import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.geometry import nearness, unit_normals, view_normals
from distill3d.nodes.core.cameras import orbit

SIDE = 33


def cameras(azimuth=0.0, elevation=0.0, count=1):
    return orbit(torch.full((count,), azimuth), elevation, 2.5, math.radians(42), SIDE, SIDE)


def full(*shape, value=1.0):
    return torch.full((1, SIDE, SIDE, *shape), value)


def test_normals_of_the_front_camera_by_hand():
    """The front camera stands on +x: +x faces it, +y is to its right, +z is up."""
    world = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1], [-1, 0, 0]])
    found = view_normals(world[None, None], torch.ones(1, 1, 6, 1), cameras().c2w)[0, 0]
    expected = torch.tensor([[0.5, 0.5, 1], [0, 0.5, 0.5], [1, 0.5, 0.5], [0.5, 1, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_picture_turns_with_the_camera():
    """Normals that turn as the camera does make the same picture."""
    front, other = cameras(), cameras(2.0, 0.7)
    local = torch.nn.functional.normalize(torch.randn(1, SIDE, SIDE, 3, generator=torch.Generator().manual_seed(0)),
                                          dim=-1)
    seen = [view_normals(torch.einsum("bij,bhwj->bhwi", c.c2w[:, :3, :3], local), full(1), c.c2w)
            for c in (front, other)]
    assert torch.allclose(*seen, atol=1e-5)
    assert torch.allclose(seen[0] * 2 - 1, local * torch.tensor([-1.0, 1, 1]), atol=1e-5)


def test_the_background_faces_the_camera_and_mixes_by_opacity():
    up = torch.tensor([0.0, 0.0, 1.0]).expand(1, 1, 3, 3)
    opacity = torch.tensor([0.0, 0.25, 1.0]).view(1, 1, 3, 1)
    found = view_normals(up * opacity, opacity, cameras().c2w)[0, 0]
    assert torch.allclose(found, torch.tensor([[0.5, 0.5, 1], [0.5, 0.625, 0.875], [0.5, 1, 0.5]]), atol=1e-6)


def test_only_the_direction_of_a_normal_counts():
    """Normals that disagree along a ray sum up to less than the opacity; the surface is no less there."""
    normal = torch.tensor([0.0, 0.0, 0.3]).expand(1, 1, 1, 3)
    assert view_normals(normal, torch.ones(1, 1, 1,
                                           1), cameras().c2w).flatten().tolist() == pytest.approx([0.5, 1, 0.5])


@pytest.mark.parametrize("place", [1.2, 2.5, 3.9])
@pytest.mark.parametrize("reach", [math.sqrt(3), 1.0])
def test_a_wall_is_equally_near_everywhere(place, reach):
    """Rays to the corners are longer; planes are what counts."""
    eye = cameras(0.4, 0.3)
    _, directions = eye.rays()
    ahead = -eye.c2w[:, None, None, :3, 2]
    depth = place / (directions * ahead).sum(-1, keepdim=True)
    assert depth.max() > 1.1 * depth.min()
    found = nearness(depth, full(1), directions, eye.c2w, eye.distance, reach)
    nearest = (2.5 + reach - place) / (2 * reach)
    expected = min(max(nearest, 0.0), 1.0)
    assert torch.allclose(found, full(1, value=expected), atol=1e-5)
    half = nearness(0.5 * depth, full(1, value=0.5), directions, eye.c2w, eye.distance, reach)
    assert torch.allclose(half, full(1, value=min(max(0.5 * nearest, 0.0), 1.0)), atol=1e-5)


def test_empty_pixels_have_nearness_zero():
    eye = cameras()
    _, directions = eye.rays()
    assert not nearness(full(1, value=0.0), full(1, value=0.0), directions, eye.c2w, eye.distance, 1.0).any()


def test_gradients():
    eye = orbit([0.3, 2.0], 0.4, 2.5, 0.7, 2, 3)
    _, directions = eye.rays()
    directions, c2w, distance = directions.double(), eye.c2w.double(), eye.distance.double()
    generator = torch.Generator().manual_seed(0)

    def draw(channels, low, high):
        drawn = torch.rand(2, 2, 3, channels, generator=generator, dtype=torch.float64)
        return (low + (high - low) * drawn).requires_grad_()

    opacity = draw(1, 0.2, 0.9)
    assert torch.autograd.gradcheck(lambda n, o: view_normals(n, o, c2w), (draw(3, -0.5, 0.5), opacity))
    assert torch.autograd.gradcheck(lambda d, o: nearness(d, o, directions, c2w, distance, 1.7),
                                    (draw(1, 0.2, 0.5), opacity))


def test_gradients_are_finite_in_empty_pixels():
    normal, opacity = torch.zeros(1, 2, 2, 3, requires_grad=True), torch.zeros(1, 2, 2, 1, requires_grad=True)
    view_normals(normal, opacity, cameras().c2w).sum().backward()
    assert normal.grad.isfinite().all() and opacity.grad.isfinite().all()


def test_shapes_are_checked():
    eye = cameras()
    with pytest.raises(ShapeError, match="opacity"):
        view_normals(full(3), full(3), eye.c2w)
    with pytest.raises(ShapeError, match="direction"):
        nearness(full(1), full(1), full(2), eye.c2w, eye.distance, 1.0)
    assert view_normals(torch.zeros(0, 4, 4, 3), torch.zeros(0, 4, 4, 1), torch.zeros(0, 4, 4)).shape == (0, 4, 4, 3)


def test_unit_normals_lie_over_black_and_do_not_depend_on_their_length():
    """threestudio's: (n / |n| + 1) / 2 times opacity."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.randn(2, 3, 4, 3, dtype=torch.float64, generator=generator)
    opacity = torch.rand(2, 3, 4, 1, dtype=torch.float64, generator=generator)
    found = unit_normals(normal, opacity)
    torch.testing.assert_close(found, (normal / normal.norm(dim=-1, keepdim=True) + 1) / 2 * opacity)
    torch.testing.assert_close(unit_normals(0.3 * normal, opacity), found)
    assert not unit_normals(normal, 0 * opacity).any()
    assert torch.autograd.gradcheck(unit_normals, (normal[:1, :2, :2].clone().requires_grad_(),
                                                   opacity[:1, :2, :2].clone().requires_grad_()))
