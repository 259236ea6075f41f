import pytest
import torch
from torch import nn

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings, parse_rates


def test_rates_are_read():
    assert parse_rates("density: 0.3, color: 0.1\nposition: 0.01 to 0.0001,") == (
        ("density", 0.3), ("color", 0.1), ("position", (0.01, 0.0001)))
    assert parse_rates(" ") == ()


@pytest.mark.parametrize("text, message", [
    ("density 0.3", 'cannot read "density 0.3"'), ("density: 1 to 2 to 3", "cannot read"),
    ("density: fast", "cannot read"), ("density: -1", "must be a number from 0 to 10"),
    ("position: 0.1 to 0", "must be above 0"), ("position: 0.1 to 11", "must be a number from 0 to 10"),
    ("position: nan to 1", "must be a number from 0 to 10")])
def test_wrong_rates_are_named(text, message):
    with pytest.raises(DistillError, match=message):
        parse_rates(text)


def test_a_rate_that_changes_falls_by_the_same_share_in_each_step():
    groups = {"position": [nn.Parameter(torch.zeros(1))], "color": [nn.Parameter(torch.zeros(1))]}
    settings = OptimizerSettings(rates=parse_rates("position: 0.01 to 0.0001"), factor=Schedule(((0, 1.0), (4, 0.5))))
    optimizer = settings.build(groups)
    seen = []
    for step in range(5):
        settings.set_rates(optimizer, step, 5)
        seen.append({entry["name"]: entry["lr"] for entry in optimizer.param_groups})
    assert seen[0] == {"position": 0.01, "color": 0.01} and seen[2] == pytest.approx({"position": 0.00075,
                                                                                      "color": 0.0075})
    assert seen[4] == pytest.approx({"position": 0.00005, "color": 0.005})


def test_a_rate_of_a_group_that_the_scene_lacks_names_those_that_it_has():
    groups = {"density": [torch.nn.Parameter(torch.zeros(2))], "color": [torch.nn.Parameter(torch.zeros(2))]}
    with pytest.raises(DistillError, match='names the group "weight".*Its groups: color, density'):
        OptimizerSettings(rates=parse_rates("weight: 1")).build(groups)
