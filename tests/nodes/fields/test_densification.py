import math

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.fields.densification import Densification, densified

SETTINGS = Densification(gradient=1.0, split_scale=0.1, min_opacity=0.05, max_scale=0.5)


def cloud(scales, opacities=None):
    count = len(scales)
    opacities = torch.tensor(opacities or [0.5] * count)[:, None]
    return {"position": torch.arange(3.0 * count).view(count, 3),
            "scale": torch.tensor(scales)[:, None].expand(-1, 3).log(),
            "rotation": torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1), "opacity": opacities.logit(),
            "color": torch.arange(float(count)).view(count, 1, 1).expand(-1, 1, 3)}


def grown(cloud, gradient, settings=SETTINGS, seed=0):
    return densified(cloud, torch.tensor(gradient), settings, torch.Generator().manual_seed(seed))


def test_small_ones_are_doubled_and_large_ones_split():
    before = cloud([0.01, 0.01, 0.2, 0.2])
    after, rows = grown(before, [0.5, 2.0, 0.5, 2.0])
    assert rows.tolist() == [0, 1, 2, -1, -1, -1]            # the split one is gone, and nothing goes on from it
    assert after["color"][:, 0, 0].tolist() == [0, 1, 2, 1, 3, 3]
    assert torch.equal(after["position"][:4], before["position"][[0, 1, 2, 1]])
    assert after["scale"].exp()[:, 0].tolist() == pytest.approx([0.01, 0.01, 0.2, 0.01, 0.125, 0.125])
    children = after["position"][4:] - before["position"][3]
    assert (children[0].ne(children[1]).any() and 0.01 < float(children.norm(dim=1).min())
            and float(children.norm(dim=1).max()) < 1)


def test_children_lie_in_their_parent():
    count, half = 4000, math.sqrt(0.5)
    before = {name: values.repeat(count, *[1] * (values.ndim - 1)) for name, values in cloud([0.2]).items()}
    before["scale"] = torch.tensor([[0.4, 0.2, 0.1]]).log().repeat(count, 1)
    before["rotation"] = torch.tensor([[half, 0, 0, half]]).repeat(count, 1)              # a quarter around z: x -> y
    after, _ = grown(before, [2.0] * count)
    offset = after["position"] - before["position"][0]
    assert offset.std(0).tolist() == pytest.approx([0.2, 0.4, 0.1], rel=0.05)


def test_faint_and_huge_ones_go():
    after, rows = grown(cloud([0.2, 0.6, 0.2], [0.01, 0.9, 0.9]), [0.0, 0.0, 0.0])
    assert rows.tolist() == [2] and after["position"][0, 0] == 6


def test_a_cloud_never_becomes_empty():
    after, rows = grown(cloud([0.6, 0.6]), [0.0, 0.0])
    assert rows.tolist() == [0, 1] and len(after["scale"]) == 2


def test_there_become_no_more_than_allowed():
    settings = Densification(gradient=1.0, split_scale=0.1, most=5)
    _, rows = grown(cloud([0.01] * 4), [2.0, 5.0, 3.0, 4.0], settings)
    assert rows.tolist() == [0, 1, 2, 3, -1]
    after, _ = grown(cloud([0.01] * 4), [2.0, 5.0, 3.0, 4.0], settings)
    assert after["color"][-1, 0, 0] == 1                     # the one that is pulled at hardest
    assert len(grown(cloud([0.01] * 6), [2.0] * 6, settings)[1]) == 6


def test_the_same_draw_gives_the_same_cloud():
    one, other, third = (grown(cloud([0.2, 0.2]), [2.0, 2.0], seed=seed)[0]["position"] for seed in (1, 1, 2))
    assert torch.equal(one, other) and not torch.equal(one, third)


def test_nothing_given_is_changed():
    before = cloud([0.2, 0.01])
    kept = {name: values.clone() for name, values in before.items()}
    grown(before, [2.0, 2.0])
    assert all(torch.equal(before[name], kept[name]) for name in kept)


def test_when_it_happens():
    settings = Densification(every=5, start=10, end=20, reset_every=7)
    assert [step for step in range(30) if settings.is_due(step)] == [10, 15, 20]
    assert [step for step in range(30) if settings.resets(step)] == [7, 14, 21, 28]
    assert not any(Densification(every=0, reset_every=0).is_due(step) for step in range(200))
    assert not Densification(every=5).is_due(0) and Densification(every=5).is_due(5)


@pytest.mark.parametrize("changes",
                         [{"every": -1}, {"split_scale": 0.0}, {"min_opacity": 1.0}, {"most": 0}, {"max_scale": -1.0}])
def test_impossible_settings_are_refused(changes):
    with pytest.raises(DistillError, match="^Gaussians: "):
        Densification(**changes)
