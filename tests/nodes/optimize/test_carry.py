import pytest
import torch
from torch import nn

from distill3d.nodes.core.field import Replacement
from distill3d.nodes.optimize.carry import carry_averages
from distill3d.nodes.optimize.optimizer_settings import KINDS, OptimizerSettings


def stepped(kind, *parameters):
    optimizer = OptimizerSettings(kind).build({"position": list(parameters)})
    for parameter in parameters:
        parameter.grad = torch.arange(parameter.numel(), dtype=torch.float32).view(parameter.shape) + 1
    optimizer.step()
    return optimizer


@pytest.mark.parametrize("kind", KINDS)
def test_rows_take_their_averages_with_them(kind):
    old, other = nn.Parameter(torch.zeros(3, 2)), nn.Parameter(torch.ones(4))
    before = stepped(kind, old, other)
    new = nn.Parameter(torch.zeros(4, 2))
    after = OptimizerSettings(kind).build({"position": [new, other]})
    carry_averages(before, after, [Replacement(new, old, torch.tensor([2, -1, 0, -1]))])
    assert after.state[other].keys() == before.state[other].keys() and after.state[other]
    for name, value in before.state[old].items():
        found = after.state[new][name]
        if value.shape == old.shape:
            assert torch.equal(found[[0, 2]], value[[2, 0]]) and not found[[1, 3]].any() and value.any()
        else:
            assert torch.equal(found, value)          # the number of steps


def test_replacements_follow_each_other():
    first, second, third = (nn.Parameter(torch.zeros(count, 1)) for count in (2, 3, 2))
    before = stepped("Adam", first)
    after = OptimizerSettings().build({"position": [third]})
    carry_averages(before, after, [Replacement(second, first, torch.tensor([0, 1, -1])),
                                   Replacement(third, second, torch.tensor([2, 1]))])
    assert torch.equal(after.state[third]["exp_avg"][:, 0],
                       torch.stack([torch.tensor(0.0), before.state[first]["exp_avg"][1, 0]]))


def test_what_had_no_step_yet_has_nothing_to_carry():
    old, new = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(3))
    before, after = (OptimizerSettings().build({"position": [one]}) for one in (old, new))
    carry_averages(before, after, [Replacement(new, old, torch.tensor([0, 1, -1]))])
    assert not after.state
