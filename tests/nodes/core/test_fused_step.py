"""Steps of optimisers that do not wait for the device."""
import math

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.fused_step import is_fusible, load_slots, take_step


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


def stepped(kind, **options):
    """An optimiser of this kind after one step, and a new one."""
    parameter = torch.nn.Parameter(torch.ones(3))
    ours, new = (getattr(torch.optim, kind)([parameter], lr=0.1, **options) for _ in range(2))
    parameter.grad = torch.ones(3)
    ours.step()
    return ours, new


@pytest.mark.parametrize("kind, options", [("Adam", {}), ("AdamW", {"fused": True}), ("Adamax", {}),
                                           ("SGD", {"momentum": 0.9})])
def test_saved_slots_are_taken_over(kind, options):
    ours, new = stepped(kind, **options)
    saved = ours.state_dict()["state"]
    load_slots(new, {str(index): own for index, own in saved.items()}, "Test")
    found = new.state_dict()["state"]
    assert found.keys() == saved.keys() == {0} and found[0].keys() == saved[0].keys() != set()
    assert all(torch.equal(found[0][name], saved[0][name]) for name in saved[0])


@pytest.mark.parametrize("index, change, message", [
    ("0", {"exp_avg": torch.zeros(2)}, r'"exp_avg" of shape \[2\]'),
    ("0", {"exp_avg": torch.zeros(3, dtype=torch.long)}, "int64"),
    ("0", {"exp_avg": 3.0}, "another kind"),
    ("0", {"step": torch.zeros(3)}, '"step" of shape'),
    ("0", {"exp_avg_sq": None}, "another kind"),
    ("0", {"other": torch.zeros(3)}, '"other"'),
    ("1", {}, "other parameters"),
    ("-1", {}, "other parameters"),
    ("exp", {}, "other parameters"),
])
def test_slots_that_do_not_fit_are_refused(index, change, message):
    ours, new = stepped("Adam")
    with pytest.raises(DistillError, match=f"Test: the saved optimiser has .*{message}"):
        load_slots(new, {index: {**ours.state_dict()["state"][0], **change}}, "Test")
    assert not new.state_dict()["state"]


def test_missing_slots_are_named():
    ours, new = stepped("Adam")
    own = dict(ours.state_dict()["state"][0])
    del own["exp_avg_sq"]
    with pytest.raises(DistillError, match='no "exp_avg_sq" for its parameter 0'):
        load_slots(new, {0: own}, "Test")
