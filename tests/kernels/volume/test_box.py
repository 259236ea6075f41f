import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume.box import box_bounds, intersect_box


def crossing(origin, direction, bounds=1.0):
    near, far = intersect_box(torch.tensor([origin], dtype=torch.float64),
                              torch.tensor([direction], dtype=torch.float64), bounds)
    return near.item(), far.item()


def test_bounds():
    assert box_bounds(2.0).tolist() == [[-2, -2, -2], [2, 2, 2]]
    corners = torch.tensor([[0.0, -1, -2], [1, 2, 3]])
    assert torch.equal(box_bounds(corners), corners)
    for wrong in 0.0, -1.0, corners.flip(0):
        with pytest.raises(ValueError, match="bounds"):
            box_bounds(wrong)
    with pytest.raises(ShapeError, match="bounds"):
        box_bounds(torch.zeros(3))


@pytest.mark.parametrize("origin, direction, expected", [
    ([3, 0, 0], [-1, 0, 0], (2, 4)),               # zero components, from outside
    ([0, 0, 0], [0, 0, 1], (0, 1)),                # from inside
    ([3, 0, 0], [1, 0, 0], (0, 0)),                # the box is behind
    ([3, 2, 0], [-1, 0, 0], (0, 0)),               # parallel, outside a slab
    ([3, 1, 0], [-1, 0, 0], (2, 4)),               # parallel, along a face
    ([3, -1, 1], [-1, -0.0, 0], (2, 4)),           # parallel, along an edge, negative zero
    ([1, 0, 0], [1, 0, 0], (0, 0)),                # leaves from the face
    ([1, 0, 0], [-1, 0, 0], (0, 2)),               # enters from the face
    ([-3, 0, 0], [2, 0, 0], (1, 2)),               # t counts in lengths of the direction
    ([2, 2, 0], [-1, 0, 0], (0, 0)),
    ([0, 0, 0], [0, 0, 0], (0, 0)),                # no direction at all
    ([0, -2, 0], [1, 1, 0], (0, 0)),               # touches an edge only
    ([0, 0, 0], [1, 1e-300, 0], (0, 1)),           # nearly parallel
])
def test_crossings(origin, direction, expected):
    assert crossing(origin, direction) == expected


def test_diagonal_of_an_uneven_box():
    corners = torch.tensor([[0.0, 0, 0], [1, 2, 3]], dtype=torch.float64)
    length = math.sqrt(14)
    near, far = crossing([-1, -2, -3], [1 / length, 2 / length, 3 / length], corners)
    assert math.isclose(near, length) and math.isclose(far, 2 * length)


def test_ends_lie_on_the_box():
    generator = torch.Generator().manual_seed(0)
    origins = torch.randn(200, 3, generator=generator, dtype=torch.float64) * 2
    directions = torch.nn.functional.normalize(-origins + torch.randn(200, 3, generator=generator, dtype=torch.float64))
    near, far = intersect_box(origins, directions, 1.0)
    hit = far > near
    assert 20 < hit.sum() < 200
    outside = hit & (origins.abs().amax(1) > 1)
    for t, rays in (near, outside), (far, hit):
        point = (origins + t[:, None] * directions)[rays]
        torch.testing.assert_close(point.abs().amax(1), torch.ones(len(point), dtype=torch.float64))
    # A ray said to miss has no point inside at any distance.
    along = origins[~hit, None] + torch.linspace(0, 10, 2001, dtype=torch.float64)[:, None] * directions[~hit, None]
    assert (along.abs().amax(2) > 1 - 1e-9).all()


def test_no_rays():
    near, far = intersect_box(torch.zeros(0, 3), torch.zeros(0, 3), 1.0)
    assert near.shape == far.shape == (0,)
    with pytest.raises(ShapeError, match="directions"):
        intersect_box(torch.zeros(2, 3), torch.zeros(1, 3), 1.0)
