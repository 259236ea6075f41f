import math

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.schedule import Schedule, parse_keyframes


def test_a_number_is_constant():
    schedule = Schedule.of(3)
    assert [schedule.at(step, 10) for step in (0, 5, 9, 1000)] == [3.0] * 4
    assert Schedule.of(schedule) is schedule


def test_linear_ramp_and_constant_ends():
    ramp = Schedule(((10, 1.0), (20, 3.0)))
    assert [ramp.at(step, 100) for step in (0, 10, 15, 20, 99)] == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_fractions_reach_both_ends_of_the_run():
    ramp = Schedule(((0, 0.98), (1, 0.4)), unit="fraction")
    assert ramp.at(0, 250) == 0.98
    assert ramp.at(249, 250) == 0.4
    assert ramp.at(5, 11) == pytest.approx(0.69)
    assert ramp.at(0, 1) == 0.98


def test_cosine_is_flat_at_the_ends_and_half_in_the_middle():
    wave = Schedule(((0, 0.0), (100, 1.0)), shape="cosine")
    assert wave.at(50, 1) == pytest.approx(0.5)
    assert wave.at(25, 1) == pytest.approx(0.5 - 0.5 * math.cos(math.pi / 4))
    assert wave.at(1, 1) < 0.001 and wave.at(99, 1) > 0.999


def test_steps_hold_until_the_next_keyframe():
    stairs = Schedule(((0, 64), (5000, 512), (6000, 1)), shape="step")
    assert [stairs.at(step, 1) for step in (0, 4999, 5000, 5999, 6000)] == [64, 64, 512, 512, 1]


def test_several_pieces():
    pieces = Schedule(((0, 0.0), (10, 10.0), (20, 0.0), (40, 40.0)))
    assert [pieces.at(step, 1) for step in (5, 10, 15, 20, 30)] == [5.0, 10.0, 5.0, 0.0, 20.0]
    assert pieces.largest() == 40.0


@pytest.mark.parametrize("keyframes", [((0, math.nan),), ((math.nan, 1.0),), ((0, 1.0), (1, math.inf))])
def test_numbers_that_are_not_finite_are_refused(keyframes):
    with pytest.raises(DistillError, match="not finite"):
        Schedule(keyframes)


def test_not_finite_from_text_or_widget_is_refused():
    with pytest.raises(DistillError, match="not finite"):
        Schedule(parse_keyframes("0: nan"))
    with pytest.raises(DistillError, match="not finite"):
        Schedule.of(math.nan)


@pytest.mark.parametrize("wrong, words", [
    (dict(keyframes=()), "at least one"),
    (dict(keyframes=((1, 0.0), (1, 1.0))), "increase"),
    (dict(keyframes=((2, 0.0), (1, 1.0))), "increase"),
    (dict(keyframes=((0, 0.0),), unit="epochs"), "epochs"),
    (dict(keyframes=((0, 0.0), (2, 1.0)), unit="fraction"), "0..1"),
    (dict(keyframes=((0, 0.0),), shape="wavy"), "wavy"),
])
def test_what_is_wrong_stands_in_the_message(wrong, words):
    with pytest.raises(DistillError, match=words):
        Schedule(**wrong)


@pytest.mark.parametrize("value", ["3", None, True, (0, 1)])
def test_only_numbers_and_schedules_are_taken(value):
    with pytest.raises(DistillError, match="number or a Schedule"):
        Schedule.of(value)


def test_keyframes_are_read_from_text():
    assert parse_keyframes("0: 20, 0.4: 5") == ((0.0, 20.0), (0.4, 5.0))
    assert parse_keyframes("0:1\n 1e3 : -2,\n") == ((0.0, 1.0), (1000.0, -2.0))
    assert parse_keyframes("") == ()


@pytest.mark.parametrize("piece", ["5", "1: 2: 3", "a: 1", "1: b", "1 2"])
def test_the_piece_that_cannot_be_read_is_named(piece):
    with pytest.raises(DistillError, match=f'"{piece}"'):
        parse_keyframes(f"0: 1, {piece}")
