import pytest

from distill3d.nodes.core.view_words import VIEW_WORDS, coarse_view, fine_view


@pytest.mark.parametrize(
    "azimuth, elevation, words",
    [
        (0, 0, "front view"),
        (45, 0, "front view"),
        (-45, 20, "front view"),
        (315, 0, "front view"),
        (46, 0, "side view"),
        (270, 0, "side view"),
        (135, 0, "back view"),
        (180, 60, "back view"),
        (-179, 0, "back view"),
        (540, 0, "back view"),
        (0, 61, "overhead view"),
    ],
)
def test_coarse_view(azimuth, elevation, words):
    assert coarse_view(azimuth, elevation) == words


@pytest.mark.parametrize(
    "azimuth, elevation, words",
    [
        (0, 0, "az0 el0"),
        (29, -14, "az30 el-15"),
        (352.4, 7.4, "az350 el5"),
        (352.5, 7.5, "az355 el10"),
        (357.5, 2.5, "az0 el5"),
        (-30, 70, "az330 el70"),
        (360, -40, "az0 el-40"),
        (725, -90, "az5 el-45"),
        (11, 90, "az10 el75"),
    ],
)
def test_fine_view(azimuth, elevation, words):
    assert fine_view(azimuth, elevation) == words


def test_every_direction_is_in_the_vocabulary():
    for azimuth in range(-360, 361, 7):
        for elevation in range(-90, 91, 9):
            for words in (coarse_view(azimuth, elevation), fine_view(azimuth, elevation)):
                assert set(words.split()) <= set(VIEW_WORDS)


def test_front_and_back_may_be_narrower():
    words = [coarse_view(azimuth, 0.0, front=30.0, back=20.0) for azimuth in (0, 30, 31, -40, 159, 160, 180)]
    assert words == ["front view", "front view", "side view", "side view", "side view", "back view", "back view"]
