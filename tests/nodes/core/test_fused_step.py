"""Steps of optimisers that do not wait for the device."""
import math

import pytest
import torch

from distill3d.nodes.core.fused_step import is_fusible, take_step


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_a_skipped_step_leaves_no_trace(kind):
    states = []
    for bad in ([False, True, False], [False, False]):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 37))
        optimizer = getattr(torch.optim, kind)([parameter], lr=0.01, fused=is_fusible([parameter]))
        assert optimizer.defaults["fused"]
        for is_bad in bad:
            parameter.grad = torch.full_like(parameter, math.nan) if is_bad else parameter.detach() ** 2
            take_step(optimizer, torch.tensor(is_bad))
        states.append([parameter.detach(), *optimizer.state[parameter].values()])
    assert all(torch.equal(one, other) for one, other in zip(*states, strict=True))


def test_an_optimiser_that_is_not_fused_is_asked():
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.5)
    parameter.grad = torch.ones(3)
    take_step(optimizer, torch.tensor(True))
    assert bool((parameter == 1).all())
    take_step(optimizer, torch.tensor(False))
    assert bool((parameter == 0.5).all())


def test_what_can_be_fused():
    assert is_fusible([torch.zeros(1)]) and not is_fusible([torch.zeros(1), torch.zeros(1, device="meta")])
    assert not is_fusible([torch.zeros(1, dtype=torch.long)])
