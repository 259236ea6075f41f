import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume, HashGridVolumeNode

SMALL = dict(levels=4, log2_size=10, base=4, finest=24, width=8)


def test_the_published_grid():
    layout = HashGridVolume().layout
    assert layout.growth == pytest.approx(1.4472692374, abs=1e-9)
    assert layout.entries * layout.features == 12_599_920 and layout.resolutions[-1] == 4096


def test_heads_have_one_hidden_layer_and_no_bias():
    field = HashGridVolume(**SMALL).build(3)
    assert [tuple(p.shape) for p in field.density_head.parameters()] == [(8, 8), (1, 8)]
    assert [tuple(p.shape) for p in field.feature_head.parameters()] == [(8, 8), (3, 8)]


def test_published_progressive_levels():
    """8 levels until step 2000, one more every 500, all 16 from step 6000."""
    recipe = HashGridVolume(levels=16, log2_size=4, base=2, finest=20, active_levels=Schedule(((2000, 8), (6000, 16))))
    field = recipe.build(3)
    seen = []
    for step in (0, 2000, 2499, 2500, 3000, 5999, 6000, 9000, 0):
        field.update(step, 10_000, Streams(0, step))
        seen.append(int(field.active))
    assert seen == [8, 8, 8, 9, 10, 15, 16, 16, 16]


def test_progressive_levels_by_part_of_the_run():
    field = HashGridVolume(**SMALL, active_levels=Schedule(((0.0, 1), (0.5, 4)), unit="fraction")).build(3)
    field.update(0, 101, Streams(0, 0))
    assert int(field.active) == 1
    field.update(50, 101, Streams(0, 50))
    assert int(field.active) == 4


def test_an_inactive_level_changes_nothing_and_learns_nothing():
    field = HashGridVolume(**SMALL, active_levels=Schedule.of(2)).build(3)
    x = 2 * torch.rand(100, 3) - 1
    start = field.layout.offsets[2]
    before = field(x).features
    with torch.no_grad():
        field.table[start:] = 5.0
    assert torch.equal(field(x).features, before)
    field(x).features.sum().backward()
    assert (field.table.grad[start:] == 0).all() and field.table.grad[:start].abs().sum() > 0


def test_active_levels_are_part_of_the_state():
    recipe = HashGridVolume(**SMALL, active_levels=Schedule(((0, 1), (10, 4))))
    trained, fresh = recipe.build(3), recipe.build(3)
    trained.update(10, 100, Streams(0, 10))
    fresh.load_state_dict(trained.state_dict())
    assert int(fresh.active) == 4


def test_the_node():
    assert HashGridVolumeNode.execute().args[0] == HashGridVolume()
    recipe = HashGridVolumeNode.execute(radius=2.0, levels=4, log2_size=10, base=4, finest=24, width=8,
                                        active_levels=Schedule(((0, 1), (10, 4)))).args[0]
    assert recipe.settings.radius == 2.0 and recipe.layout.levels == 4 and recipe.active_levels.at(10, 20) == 4
    with pytest.raises(DistillError, match="finest"):
        HashGridVolumeNode.execute(base=64, finest=32)
