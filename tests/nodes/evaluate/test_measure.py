"""Measures on pictures whose score is known."""
import math

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.evaluate.measure import color_error, color_psnr, mean_silhouette_iou, normal_error, score
from distill3d.nodes.evaluate.truth import true_rendering
from distill3d.nodes.evaluate.views import Pictures, headlight, standard_views, take_pictures
from distill3d.nodes.shapes.caption import COLORS, parse_shape

CAMERAS = standard_views(16)


def pictures(caption):
    return take_pictures(lambda cameras: true_rendering(parse_shape(caption), cameras), CAMERAS)


def test_standard_views():
    assert len(CAMERAS) == 16 and (CAMERAS.height, CAMERAS.width) == (16, 16)
    degrees = torch.rad2deg(torch.stack([CAMERAS.azimuth, CAMERAS.elevation]))
    assert degrees[0].round().tolist() == [0, 45, 90, 135, 180, 225, 270, 315] * 2
    assert degrees[1].round().tolist() == [15] * 8 + [45] * 8
    torch.testing.assert_close(CAMERAS.position.norm(dim=-1), torch.full((16,), 3.2))
    assert float(CAMERAS.fovy[0]) == pytest.approx(math.radians(40))


def test_truth_against_itself_is_perfect():
    scores = score(pictures("a red cube"), pictures("a red cube"))
    assert (scores.iou, scores.psnr, scores.color_error) == (1.0, 100.0, 0.0)
    assert scores.normal_error == pytest.approx(0, abs=0.1)


def test_wrong_colour_leaves_the_silhouette():
    scores = score(pictures("a blue cube"), pictures("a red cube"))
    assert scores.iou == 1.0 and scores.psnr < 14 and scores.normal_error < 0.1
    difference = sum(abs(a - b) for a, b in zip(COLORS["red"], COLORS["blue"])) / 3
    assert scores.color_error == pytest.approx(difference, rel=0.1)  # pixels of the outline are part white


def test_wrong_shape():
    scores = score(pictures("a red sphere"), pictures("a red cube"))
    assert 0.6 < scores.iou < 0.95 and 8 < scores.psnr < 25 and 5 < scores.normal_error < 45


def test_iou_by_hand():
    one, other = torch.zeros(2, 4, 4, 1), torch.zeros(2, 4, 4, 1)
    assert mean_silhouette_iou(one, other) == 1.0
    one[0, :2], other[0, 1:3] = 1.0, 0.6
    assert mean_silhouette_iou(one, other) == pytest.approx((1 / 3 + 1) / 2)
    other[0] *= 0.5
    assert mean_silhouette_iou(one, other) == pytest.approx((0 + 1) / 2)


def test_psnr_and_colour_error_by_hand():
    image = torch.full((2, 4, 4, 3), 0.5)
    assert color_psnr(image, image + 0.1) == pytest.approx(20, abs=1e-4)
    inside = torch.zeros(2, 4, 4, 1)
    assert color_error(image, image + 0.1, inside) == 0.0
    inside[0, 0] = 1.0
    other = image + 0.5
    other[0, 0] = 0.25
    assert color_error(image, other, inside) == pytest.approx(0.25)


def test_normal_error_by_hand():
    def facing(x, y):
        normal = torch.tensor([x, y, 0.0]).expand(1, 2, 2, 3)
        return Pictures(torch.ones(1, 2, 2, 3), torch.ones(1, 2, 2, 1), torch.ones(1, 2, 2, 1), normal)

    assert normal_error(facing(1.0, 0.0), facing(0.5, 0.5)) == pytest.approx(45, abs=0.01)
    empty = facing(1.0, 0.0)._replace(opacity=torch.zeros(1, 2, 2, 1))
    assert normal_error(empty, facing(1.0, 0.0)) is None


def test_headlight_sees_geometry_only():
    red, blue = pictures("a red cone"), pictures("a blue cone")
    torch.testing.assert_close(red.gray, blue.gray)
    normal = CAMERAS.position[:, None, None] / 3.2 * 0.3  # a length below 1 must not darken
    normal = normal.expand(16, 16, 16, 3)
    lit = headlight(normal, torch.ones(16, 16, 16, 1), CAMERAS)
    assert float(lit[:, 7:9, 7:9].min()) > 0.99
    assert float(headlight(-normal, torch.ones(16, 16, 16, 1), CAMERAS).max()) == pytest.approx(0.2)
    assert float(headlight(normal, torch.zeros(16, 16, 16, 1), CAMERAS).min()) == 1.0


def test_pictures_name_what_is_wrong():
    with pytest.raises(DistillError, match='no "normal"'):
        take_pictures(lambda cameras: Rendering(albedo=torch.ones(16, 16, 16, 3), opacity=torch.ones(16, 16, 16, 1)),
                      CAMERAS)
    broken = Rendering(albedo=torch.full((16, 16, 16, 3), torch.nan), opacity=torch.ones(16, 16, 16, 1),
                       normal=torch.zeros(16, 16, 16, 3))
    with pytest.raises(DistillError, match='"albedo".*not finite'):
        take_pictures(lambda cameras: broken, CAMERAS)
