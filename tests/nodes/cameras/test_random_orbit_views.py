import math
from dataclasses import replace

import pytest
import torch

from distill3d.nodes.cameras.random_orbit_views import RandomOrbitViews, RandomOrbitViewsNode
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams

STILL = RandomOrbitViews(position_jitter=0.0, target_jitter=0.0, up_jitter=0.0)


def sample(views, batch=512, step=0, seed=0, total=100, height=8, width=8):
    return views.sample(batch, height, width, step, total, Streams(seed, step))


def degrees(angles):
    return torch.rad2deg(angles)


def test_ranges_are_filled_and_kept():
    cameras = sample(replace(STILL, min_azimuth=-30.0, max_azimuth=60.0))
    for values, low, high in [(cameras.distance, 1.0, 1.5), (degrees(cameras.fovy), 40, 70),
                              (degrees(cameras.elevation), -10, 90), (degrees(cameras.azimuth), -30, 60)]:
        edge = 0.05 * (high - low)
        assert low - 1e-3 <= values.min() < low + edge and high - edge < values.max() <= high + 1e-3


def test_without_jitter_cameras_stand_where_their_angles_say_and_look_at_the_origin():
    cameras = sample(STILL)
    assert torch.allclose(cameras.position.norm(dim=-1), cameras.distance, atol=1e-5)
    assert torch.allclose(cameras.c2w[:, :3, 2] * cameras.distance[:, None], cameras.position, atol=1e-5)
    assert torch.allclose(torch.asin(cameras.position[:, 2] / cameras.distance), cameras.elevation, atol=1e-2)
    off = torch.cos(torch.atan2(cameras.position[:, 1], cameras.position[:, 0]) - cameras.azimuth)
    assert torch.allclose(off, torch.ones(512), atol=1e-4)


def test_azimuths_are_conditioned_on_in_minus_pi_to_pi():
    cameras = sample(replace(STILL, min_azimuth=0.0, max_azimuth=360.0))
    assert -math.pi < cameras.azimuth.min() < -3.0 and 3.0 < cameras.azimuth.max() <= math.pi + 1e-6


def test_spread_azimuth_puts_one_view_in_each_part():
    azimuth = degrees(sample(STILL, batch=8).azimuth)
    assert ((azimuth + 180) // 45).tolist() == list(range(8))
    assert len(set(((azimuth + 180) % 45).tolist())) == 8
    loose = degrees(sample(replace(STILL, spread_azimuth=False), batch=8).azimuth)
    assert ((loose + 180) // 45).tolist() != list(range(8))


@pytest.mark.parametrize("by_angle, middle",
                         [(1.0, 40.0), (0.0, math.degrees(math.asin((1 + math.sin(math.radians(-10))) / 2)))])
def test_median_elevation_of_each_kind_of_sampling(by_angle, middle):
    elevation = degrees(sample(replace(STILL, by_angle=by_angle), batch=4096).elevation)
    assert elevation.median().item() == pytest.approx(middle, abs=2.5)


def test_one_coin_decides_for_a_whole_batch():
    medians = torch.stack([sample(STILL, step=step).elevation.median() for step in range(40)])
    low = (degrees(medians) < 32.5).sum().item()
    between = ((degrees(medians) > 30) & (degrees(medians) < 35)).sum().item()
    assert 10 <= low <= 30 and between == 0


def test_focal_length_is_in_image_widths():
    views = replace(STILL, lens="focal length", min_focal=0.7, max_focal=1.35)
    fovy = sample(views).fovy
    focal = 0.5 / torch.tan(0.5 * fovy)
    assert 0.7 <= focal.min() < 0.73 and 1.32 < focal.max() <= 1.3501
    assert focal.mean().item() == pytest.approx(1.025, abs=0.03)
    wide = 0.5 * 4 / torch.tan(0.5 * sample(views, height=4, width=16).fovy) / 16
    assert torch.allclose(wide, focal, atol=1e-5)


def test_jitter_moves_the_camera_and_not_what_is_conditioned_on():
    still, moved = sample(STILL), sample(RandomOrbitViews())
    for name in ("azimuth", "elevation", "distance", "fovy"):
        assert torch.equal(getattr(still, name), getattr(moved, name))
    shift = moved.position - still.position
    assert 0.095 < shift.abs().max() <= 0.1001 and shift.mean().abs() < 0.01
    axes = moved.c2w[:, :3, :3]
    assert torch.allclose(axes @ axes.mT, torch.eye(3).expand(512, 3, 3), atol=1e-4)


def test_target_jitter_has_its_standard_deviation():
    views = replace(STILL, target_jitter=0.2, min_distance=50.0, max_distance=50.0, max_elevation=60.0)
    cameras = sample(views, batch=2048)
    still = sample(replace(views, target_jitter=0.0), batch=2048)
    # Far away, the target's shift across the view is the turn of the view times the distance.
    across = ((cameras.c2w[:, :3, 2] - still.c2w[:, :3, 2]) * still.c2w[:, :3, 0]).sum(-1) * 50.0
    assert across.std().item() == pytest.approx(0.2, rel=0.1)
    assert torch.equal(cameras.position, still.position)


def test_up_jitter_rolls_the_camera():
    views = replace(STILL, up_jitter=0.02, min_elevation=0.0, max_elevation=0.0)
    roll = sample(views, batch=2048).c2w[:, 2, 0]
    assert roll.std().item() == pytest.approx(0.02, rel=0.1)
    assert sample(replace(views, up_jitter=0.0)).c2w[:, 2, 0].abs().max() < 1e-6


def test_ranges_open_progressively():
    views = replace(STILL, progressive_until=99, start_elevation=15.0)
    first, middle, last = (sample(views, step=step) for step in (0, 49, 99))
    assert degrees(first.azimuth).abs().max() <= 1.81 and (degrees(first.elevation) - 15).abs().max() <= 0.76
    assert 80 < degrees(middle.azimuth).max() <= 90.01 and 2.4 < degrees(middle.elevation).min() < 4.5
    assert torch.equal(last.azimuth, sample(STILL, step=99).azimuth)


def test_no_progress_means_the_full_range_at_step_0():
    assert degrees(sample(replace(STILL, progressive_until=0)).azimuth).max() > 170


def test_seed_and_step_decide_everything():
    views = RandomOrbitViews()
    assert torch.equal(sample(views, step=3).c2w, sample(views, step=3).c2w)
    assert not torch.equal(sample(views, step=3).c2w, sample(views, step=4).c2w)
    assert not torch.equal(sample(views, step=3).c2w, sample(views, step=3, seed=1).c2w)


def test_size_and_empty_batch():
    cameras = sample(RandomOrbitViews(), batch=0, height=3, width=5)
    assert len(cameras) == 0 and (cameras.height, cameras.width) == (3, 5)


def test_straight_down_is_finite():
    assert torch.isfinite(sample(replace(STILL, min_elevation=90.0, max_elevation=90.0)).c2w).all()


@pytest.mark.parametrize("wrong, words", [
    (dict(min_elevation=50.0, max_elevation=40.0), "min_elevation"), (dict(min_distance=2.0), "min_distance"),
    (dict(min_azimuth=math.nan), "min_azimuth"), (dict(lens="fisheye"), "fisheye"), (dict(max_fovy=180.0), "180"),
    (dict(min_distance=0.0), "above 0"),
])
def test_impossible_ranges_are_named(wrong, words):
    with pytest.raises(DistillError, match=words):
        RandomOrbitViews(**wrong)


def test_the_node_starts_with_numbers_for_the_built_in_prior():
    """The recipe's own are threestudio's, and never change: they are what the name of a saved run leaves out."""
    schema = RandomOrbitViewsNode.define_schema()
    assert RandomOrbitViewsNode.execute(**{widget.id: widget.default for widget in schema.inputs}).args[0] == \
        RandomOrbitViews(3.05, 3.35, max_fovy=40.0, min_elevation=-30.0, max_elevation=65.0, position_jitter=0.0,
                         target_jitter=0.0, up_jitter=0.0)
    assert RandomOrbitViewsNode.execute().args[0] == RandomOrbitViews() == RandomOrbitViews(1.0, 1.5, max_fovy=70.0)
    assert RandomOrbitViewsNode.execute(max_distance=3.0).args[0].max_distance == 3.0
