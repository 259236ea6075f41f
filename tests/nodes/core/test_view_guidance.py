import math

import pytest

from distill3d.nodes.core.view_guidance import Decay, PerpNegWeights, view_guidance

F, S, B, O = (f"a cat, {view} view" for view in ("front", "side", "back", "overhead"))


def of(azimuth, elevation=10.0, **options):
    return view_guidance("a cat", "ugly", azimuth, elevation, **options)


def decay(height, shift, r):
    return height * math.exp(-r / 2) + shift


@pytest.mark.parametrize("azimuth, positive, share, negatives, weights", [
    # front half: r = 1 - |azimuth| / 90
    (0, (S, F), 1.0, (F, S), (-decay(4, -2.426, 1), -decay(4, -2.426, 0))),
    (30, (S, F), 2 / 3, (F, S), (-decay(4, -2.426, 2 / 3), -decay(4, -2.426, 1 / 3))),
    (-45, (S, F), 0.5, (F, S), (-decay(4, -2.426, 0.5), -decay(4, -2.426, 0.5))),
    (321, (S, F), 1 - 39 / 90, (F, S), (-decay(4, -2.426, 1 - 39 / 90), -decay(4, -2.426, 39 / 90))),
    # back half: r = 2 - |azimuth| / 90
    (90, (B, S), 1.0, (S, F), (-decay(1, -0.606, 1), -decay(1, 0.967, 1))),
    (135, (B, S), 0.5, (S, F), (-decay(1, -0.606, 0.5), -decay(1, 0.967, 0.5))),
    (-180, (B, S), 0.0, (S, F), (-decay(1, -0.606, 0), -decay(1, 0.967, 0))),
    (180, (B, S), 0.0, (S, F), (-0.394, -1.967)),
])
def test_published_mixtures(azimuth, positive, share, negatives, weights):
    view = of(azimuth)
    assert view.positive == positive and view.negatives == negatives
    assert view.share == pytest.approx(share) and view.weights == pytest.approx(weights, abs=1e-12)


def test_a_word_is_not_led_away_from_where_it_is_right():
    """The published numbers end at zero to three digits; what is not wanted has a weight below zero."""
    front, side, back = of(0), of(89.999), of(180)
    assert abs(front.weights[0]) < 1e-3 and front.weights[1] < -1.5       # front wanted, side not
    assert abs(side.weights[1]) < 1e-3 and side.weights[0] < -1.5
    assert of(90).weights[0] == pytest.approx(0, abs=1e-3) and of(90).weights[1] < -1.5
    assert back.weights[1] < back.weights[0] < 0


def test_mixtures_meet_at_the_side_and_mirror_at_the_front():
    before, after = of(90 - 1e-9), of(90)
    assert before.positive[0] == after.positive[1] == S and before.share < 1e-9 and after.share == 1
    weights = dict(zip(before.negatives, before.weights)), dict(zip(after.negatives, after.weights))
    assert weights[0][F] == pytest.approx(weights[1][F], abs=1e-3) and weights[0][S] == pytest.approx(weights[1][S],
                                                                                                      abs=1e-3)
    for azimuth in (10, 80, 100, 170):
        assert of(azimuth) == of(-azimuth) == of(azimuth - 720)


def test_overhead_overrides_every_side_and_has_no_negatives():
    for azimuth in (0, 90, 180):
        view = of(azimuth, 60.5)
        assert set(view.positive) == {O} and view.weights == (0.0, 0.0) and set(view.negatives) == {"ugly"}
        assert O not in of(azimuth, 60.0).positive
    assert set(of(0, 31, overhead=30.0).positive) == {O}


def test_other_weights_can_be_given():
    loud = PerpNegWeights(front_by_back=Decay(2.0, 10.0, 0.0))
    assert of(180, weights=loud).weights == pytest.approx((-0.394, -2.0))
