"""Reference views: pictures over white, poses against hand-computed numbers, weights of several."""

import math

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.optimize.fingerprint import _feed
from distill3d.nodes.priors.reference_views import (
    has_white_border,
    over_white,
    picture_poses,
    picture_weights,
    reference_views,
)

NAME = "Zero123 Prior"


def cameras(azimuths, elevations, distance=1.5):
    return orbit(torch.tensor(azimuths).deg2rad(), torch.tensor(elevations).deg2rad(), distance, 0.6, 8, 8)


def views(elevation=(5.0,), azimuth=(0.0,), distance=0.0):
    words = (", ".join(map(str, angles)) for angles in (elevation, azimuth))
    return reference_views(NAME, torch.ones(len(elevation), 8, 8, 3), None, *words, distance)


def test_poses_by_hand():
    found = picture_poses(views((5.0,), (30.0,), 1.5), cameras([120.0, 30.0, -15.0], [35.0, 5.0, -10.0], 1.8))
    expected = [[-math.pi / 6, 1.0, 0.0, 0.3],  # looks from 30 degrees higher: negative
                [0.0, 0.0, 1.0, 0.3],
                [math.pi / 12, -math.sqrt(0.5), math.sqrt(0.5), 0.3]]
    torch.testing.assert_close(found[:, 0], torch.tensor(expected), atol=1e-6, rtol=0)


def test_without_a_distance_there_is_no_way_further():
    assert bool((picture_poses(views(distance=0.0), cameras([10.0], [20.0], 3.8))[..., 3] == 0).all())


def test_the_nearest_view_counts_most():
    found = picture_weights(views((0.0, 0.0, 0.0), (0.0, 90.0, 180.0)), cameras([0.0, 30.0, 45.0, 89.0], [0.0] * 4))
    expected = torch.tensor([[1.0, 0.0, 0.0],              # seen from the picture's own place
                             [1 / 30, 1 / 60, 1 / 150],
                             [1 / 45, 1 / 45, 1 / 135],
                             [0.0, 1.0, 0.0]])             # 89 times as far is left out
    torch.testing.assert_close(found, expected / expected.sum(1, keepdim=True), atol=1e-5, rtol=0)


def test_angles_are_measured_on_the_sphere():
    """From above, all azimuths are one place."""
    found = picture_weights(views((90.0, 0.0), (0.0, 0.0)), cameras([180.0], [45.0]))
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25]]), atol=1e-5, rtol=0)  # 45 and 135 degrees


def test_one_view_has_all_the_weight():
    assert torch.equal(picture_weights(views(), cameras([170.0, 5.0], [60.0, 5.0])), torch.ones(2, 1))


def test_pictures_stand_on_white():
    image = torch.full((1, 4, 6, 3), 0.25)
    mask = torch.zeros(1, 4, 6)
    mask[:, 1:3, 2:4] = 1
    found = reference_views(NAME, image, mask)
    assert over_white(found).shape == (1, 6, 6, 3) and has_white_border(found)
    assert bool((over_white(found)[:, 2:4, 2:4] == 0.25).all()) and (over_white(found) == 1).sum() == (36 - 4) * 3
    alike = reference_views(NAME, torch.cat([image, mask[..., None]], -1))
    assert torch.equal(over_white(alike), over_white(found))
    assert torch.equal(reference_views(NAME, image.transpose(1, 2), mask.transpose(1, 2)).over(1.0),
                       over_white(found).transpose(1, 2))
    half = reference_views(NAME, image, mask * 0 + 0.6).over(1.0)[:, 1:5]
    torch.testing.assert_close(half, torch.full_like(half, 0.25 * 0.6 + 0.4))
    assert not has_white_border(reference_views(NAME, torch.zeros(1, 8, 8, 3)))
    assert not has_white_border(reference_views(NAME, torch.zeros(1, 4, 6, 3), 1 - mask))  # inverted


def test_a_mask_of_another_size_is_fitted():
    mask = torch.zeros(8, 8)
    mask[2:6, 2:6] = 1
    found = reference_views(NAME, torch.zeros(2, 16, 16, 3), mask, "5, 10", "0, 90")
    assert over_white(found).shape == (2, 16, 16, 3)
    assert float(over_white(found)[:, 8, 8].max()) == 0 and float(over_white(found)[:, 0].min()) == 1
    torch.testing.assert_close(found.cameras.elevation, torch.tensor([5.0, 10.0]).deg2rad())
    torch.testing.assert_close(found.cameras.azimuth, torch.tensor([0.0, 90.0]).deg2rad())


@pytest.mark.parametrize("given, words", [
    (dict(image=torch.zeros(8, 8, 3)), r"the shape \[8, 8, 3\]"),
    (dict(image=torch.zeros(0, 8, 8, 3)), r"the shape \[0, 8, 8, 3\]"),
    (dict(image=torch.zeros(3, 8, 8, 3), mask=torch.ones(2, 8, 8)), "2 masks for 3 images"),
    (dict(image=torch.zeros(1, 8, 8, 3), mask=torch.zeros(1, 64, 64)), "the mask is empty"),
    (dict(image=torch.zeros(2, 8, 8, 3), azimuth="0, 90, 180"), '"azimuth" is "0, 90, 180" for 2 reference images'),
    (dict(image=torch.zeros(1, 8, 8, 3), elevation="low"), '"elevation" is "low" for 1 reference image[.]'),
    (dict(image=torch.zeros(1, 8, 8, 3), elevation=""), '"elevation" is ""'),
    (dict(image=torch.zeros(1, 8, 8, 3), elevation="95"), "not between -90 and 90"),
])
def test_what_cannot_be_is_said(given, words):
    with pytest.raises(DistillError, match=f"Zero123 Prior: .*{words}"):
        reference_views(NAME, **given)


def test_runs_tell_pictures_apart_by_what_they_show():
    def digest(recipe):
        import hashlib

        found = hashlib.sha256()
        _feed(found, recipe)
        return found.hexdigest()

    one, same = (reference_views(NAME, torch.full((1, 4, 4, 3), 0.5)) for _ in range(2))
    other = reference_views(NAME, torch.full((1, 4, 4, 3), 0.51))
    assert digest(one) == digest(same) != digest(other) and hash(one) != hash(other)
