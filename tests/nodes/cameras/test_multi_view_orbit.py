import math
from dataclasses import replace

import pytest
import torch

from distill3d.nodes.cameras.multi_view_orbit import MultiViewOrbit, MultiViewOrbitNode
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams


def sample(views=MultiViewOrbit(), batch=512, step=0, seed=0, height=8, width=8):
    return views.sample(batch, height, width, step, 100, Streams(seed, step))


def test_a_group_shares_everything_but_the_azimuth():
    cameras = sample(batch=12)
    for values in (cameras.elevation, cameras.fovy, cameras.distance):
        groups = values.view(3, 4)
        assert torch.equal(groups, groups[:, :1].expand(3, 4)) and len(set(groups[:, 0].tolist())) == 3


@pytest.mark.parametrize("count", [1, 3, 4, 6])
def test_views_are_evenly_apart_and_wind_towards_y(count):
    azimuth = sample(MultiViewOrbit(count), batch=8 * count).azimuth.view(8, count)
    steps = torch.rad2deg(azimuth.roll(-1, 1) - azimuth) % 360
    assert torch.allclose(steps[:, :count - 1], torch.tensor(360.0 / count), atol=1e-3)
    assert len(set(azimuth[:, 0].tolist())) == 8 and azimuth.abs().max() <= math.pi + 1e-6


def test_ranges_are_filled_and_kept():
    cameras = sample(batch=4096)
    size = cameras.distance * torch.tan(0.5 * cameras.fovy)
    for values, low, high in [(torch.rad2deg(cameras.fovy), 15, 60), (torch.rad2deg(cameras.elevation), 0, 30),
                              (size, 0.8, 1.0), (torch.rad2deg(cameras.azimuth), -180, 180)]:
        edge = 0.02 * (high - low)
        assert low - 1e-3 <= values.min() < low + edge and high - edge < values.max() <= high + 1e-3
    assert torch.rad2deg(cameras.elevation).mean().item() == pytest.approx(15, abs=1)
    # The four draws of a group are independent of one another.
    drawn = torch.stack([cameras.fovy, cameras.elevation, size, cameras.azimuth])[:, ::4]
    assert (torch.corrcoef(drawn) - torch.eye(4)).abs().max() < 0.12


def test_cameras_stand_on_a_sphere_and_look_at_the_origin():
    cameras = sample(batch=16)
    assert torch.allclose(cameras.c2w[:, :3, 2] * cameras.distance[:, None], cameras.position, atol=1e-5)
    assert torch.allclose(torch.atan2(cameras.position[:, 1], cameras.position[:, 0]), cameras.azimuth, atol=1e-4)


def test_one_view_for_a_preview_is_the_first_of_its_group():
    whole, one = sample(batch=4), sample(batch=1)
    assert len(one) == 1 and torch.equal(one.c2w, whole.c2w[:1])
    assert len(sample(batch=0)) == 0
    assert len(sample(batch=6, height=3, width=5)) == 6


def test_seed_and_step_decide_everything():
    assert torch.equal(sample(step=3).c2w, sample(step=3).c2w)
    assert not torch.equal(sample(step=3).c2w, sample(step=4).c2w)
    assert not torch.equal(sample(step=3).c2w, sample(step=3, seed=1).c2w)


@pytest.mark.parametrize("wrong, words", [
    (dict(min_elevation=40.0), "min_elevation"), (dict(max_fovy=180.0), "180"), (dict(min_size=2.0), "min_size"),
    (dict(views=0), "above 0"), (dict(min_size=0.0), "above 0"), (dict(min_fovy=math.nan), "min_fovy"),
])
def test_impossible_ranges_are_named(wrong, words):
    with pytest.raises(DistillError, match=words):
        replace(MultiViewOrbit(), **wrong)


def test_the_node_starts_with_numbers_for_published_and_built_in_priors():
    schema = MultiViewOrbitNode.define_schema()
    assert MultiViewOrbitNode.execute(**{widget.id: widget.default
                                         for widget in schema.inputs}).args[0] == MultiViewOrbit(
                                             min_fovy=40.0, max_fovy=40.0, min_size=1.0)
    assert MultiViewOrbitNode.execute(max_size=3.0).args[0].max_size == 3.0
