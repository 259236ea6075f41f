import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.optimize.schedule import SHAPES, UNITS, ScheduleNode


def test_keyframes_unit_and_shape_make_a_schedule():
    made = ScheduleNode.execute("0: 10, 5000: 1000", "steps", "cosine").args[0]
    assert made == Schedule(((0.0, 10.0), (5000.0, 1000.0)), "steps", "cosine")


def test_the_defaults_anneal_over_the_run():
    widgets = {widget.id: widget.default for widget in ScheduleNode.define_schema().inputs}
    made = ScheduleNode.execute(**widgets).args[0]
    assert (made.at(0, 100), made.at(99, 100)) == (0.98, 0.4)


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_everything_on_the_menu_works(unit, shape):
    assert ScheduleNode.execute("0: 1, 1: 2", unit, shape).args[0].at(10, 5) == 2.0


@pytest.mark.parametrize("text, words", [("", "at least one"), ("0: nan", "not finite"), ("0: 1, half: 2", '"half: 2"'),
                                         ("0: 1, 30: 2", "0..1")])
def test_keyframes_that_make_no_schedule_are_explained(text, words):
    with pytest.raises(DistillError, match=words):
        ScheduleNode.execute(text)
