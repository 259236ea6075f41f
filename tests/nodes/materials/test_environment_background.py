import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.environment_background import EnvironmentBackground, EnvironmentBackgroundNode


def directions(batch=2):
    return F.normalize(torch.randn(batch, 4, 5, 3, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_the_published_network():
    torch.manual_seed(0)
    background = EnvironmentBackground().build()
    assert [tuple(p.shape) for p in background.parameter_groups()["background"]] == [(16, 9), (16, 16), (3, 16)]
    rgb = background(directions())
    assert rgb.shape == (2, 4, 5, 3) and (rgb > 0).all() and (rgb < 1).all() and rgb.std() > 0
    assert torch.equal(rgb[1], background(directions()[1:])[0])


def test_learns_a_sky():
    torch.manual_seed(0)
    background, where = EnvironmentBackground().build(), directions(20)
    target = (where[..., 2:] > 0).float().expand(-1, -1, -1, 3)
    optimizer = torch.optim.Adam(background.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = (background(where, Streams(0, 0)) - target).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.3 * losses[0]


def test_random_colours_take_its_place_in_training_only():
    background, where = EnvironmentBackground(random_share=0.5).build(), directions(400)
    rgb = background(where, Streams(0, 0))
    plain = (rgb == rgb[:, :1, :1]).flatten(1).all(1)
    assert plain.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert torch.equal(rgb[~plain], background(where)[~plain])
    shared = EnvironmentBackground(random_share=1.0, per_view=False).build()(where, Streams(0, 0))
    assert (shared == shared[0, 0, 0]).all()


def test_the_node():
    assert EnvironmentBackgroundNode.execute().args[0] == EnvironmentBackground()
    assert EnvironmentBackgroundNode.execute(layers=0).args[0].build()(directions()).shape == (2, 4, 5, 3)
    with pytest.raises(DistillError, match="tanh"):
        EnvironmentBackgroundNode.execute(activation="tanh")
