import math

import pytest
import torch

from distill3d.nodes.cameras.fixed_orbit import FixedOrbit, FixedOrbitNode, parse_elevations
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams


def seen(views, batch, step):
    """The numbers of the views that a step takes."""
    cameras = views.sample(batch, 4, 4, step, 100, Streams(0, step))
    every = views.views(torch.arange(len(views)), 4, 4)
    return torch.cdist(cameras.position, every.position).argmin(1).tolist()


def test_views_are_evenly_around_ring_by_ring():
    cameras = FixedOrbit(4, (0.0, 30.0), distance=2.0, start_azimuth=10.0).sample(8, 6, 6, 0, 1, Streams(0, 0))
    expected = torch.tensor([10.0, 100.0, -170.0, -80.0] * 2)
    assert torch.allclose(torch.rad2deg(cameras.azimuth), expected, atol=1e-3)
    assert torch.allclose(torch.rad2deg(cameras.elevation), torch.tensor([0.0] * 4 + [30.0] * 4))
    assert torch.allclose(cameras.position.norm(dim=-1), torch.full((8,), 2.0))
    assert cameras.fovy[0].item() == pytest.approx(math.radians(40)) and cameras.height == 6


def test_each_round_sees_every_view_once():
    views = FixedOrbit(6, (0.0, 30.0))
    for first in range(0, 12, 4):
        assert sorted(sum((seen(views, 3, first + step) for step in range(4)), [])) == list(range(12))


def test_turns_go_on_across_rounds():
    assert [seen(FixedOrbit(8), 4, step) for step in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [1, 2, 3, 4]]


@pytest.mark.parametrize("every", [2, 3, 4])
def test_every_kth_step_sees_all_views_as_well(every):
    taken = sum((seen(FixedOrbit(8), 4, step) for step in range(0, 10 * every, every)), [])
    assert set(taken) == set(range(8))


def test_a_batch_may_be_larger_than_the_orbit():
    assert set(seen(FixedOrbit(3), 7, 0)) == {0, 1, 2}


def test_the_node_reads_elevations():
    assert FixedOrbitNode.execute(4, "0, 30").args[0] == FixedOrbit(4, (0.0, 30.0))
    assert parse_elevations("-15\n 45,") == (-15.0, 45.0)


@pytest.mark.parametrize("elevations, words",
                         [("", "at least one"), ("0, high", '"high"'), ("95", "95"), ("nan", "nan")])
def test_elevations_that_make_no_orbit_are_named(elevations, words):
    with pytest.raises(DistillError, match=words):
        FixedOrbitNode.execute(elevations=elevations)
