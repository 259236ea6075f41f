import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.prompt import AUTOMATIC, INTERPOLATED, VIEW_WORDINGS, Prompt


@pytest.mark.parametrize("azimuth, elevation, words", [
    (0, 0, "front view"), (-44, 10, "front view"), (90, 0, "side view"), (-90, 0, "side view"),
    (180, 0, "back view"), (-136, 0, "back view"), (0, 61, "overhead view"), (180, 80, "overhead view"),
])
def test_published_view_words(azimuth, elevation, words):
    assert Prompt("a red cube").of_view(azimuth, elevation) == f"a red cube, {words}"


def test_overhead_begins_where_it_is_told():
    assert Prompt("a cube", overhead=30.0).of_view(0, 31) == "a cube, overhead view"
    assert Prompt("a cube", overhead=80.0).of_view(0, 61) == "a cube, front view"


def test_no_view_words():
    assert Prompt("a cube", views="none").of_view(180, 80) == "a cube"


def test_words_in_degrees():
    assert Prompt("a cube", views="degrees").of_view(-90, 16) == "a cube, az270 el15"


def test_one_text_for_each_camera():
    cameras = orbit(torch.deg2rad(torch.tensor([0.0, 90, 180])), 0.1, 2.0, 0.7, 4, 4)
    assert Prompt("a cube").of_cameras(cameras) == [f"a cube, {side} view" for side in ("front", "side", "back")]


def test_every_offered_kind_of_words_works():
    texts = {views: Prompt("a cube", views=views).of_view(0, 0) for views in VIEW_WORDINGS}
    assert texts.pop(INTERPOLATED) == texts[VIEW_WORDINGS[0]]  # mixtures of the published words
    assert texts.pop(AUTOMATIC) == texts[VIEW_WORDINGS[0]]  # where no prior is asked
    assert len(set(texts.values())) == len(VIEW_WORDINGS) - 2


def test_one_mixture_for_each_camera():
    cameras = orbit(torch.deg2rad(torch.tensor([30.0, 180, 0])), torch.deg2rad(torch.tensor([0.0, 0, 75])), 2.0, 0.7, 4,
                    4)
    slanted, back, above = Prompt("a cube", "ugly", INTERPOLATED, 70.0).guidance_of_cameras(cameras)
    assert slanted.positive == ("a cube, side view", "a cube, front view") and abs(slanted.share - 2 / 3) < 1e-6
    assert back.positive[0] == "a cube, back view" and abs(back.share) < 1e-6
    assert above.positive[0] == above.positive[1] == "a cube, overhead view" and above.negatives == ("ugly", "ugly")


def test_only_one_kind_of_words_asks_for_mixtures():
    assert [views for views in VIEW_WORDINGS if Prompt("a cube", views=views).is_interpolated] == [INTERPOLATED]
