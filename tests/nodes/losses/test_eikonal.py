import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.feature_grid import FeatureGrid
from distill3d.nodes.fields.hash_grid_sdf import HashGridSDF
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume
from distill3d.nodes.losses.eikonal import Eikonal, EikonalLossNode
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.neus_renderer import NeuSRenderer
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from looks import look_at

GRID = dict(levels=3, log2_size=9, base=4, finest=16, width=8)
CPU = torch.device("cpu")


def term(loss, made):
    seen = made.render(turntable(2, 20, 3.0, 40, 8), wanted=("opacity", *loss.wanted), streams=Streams(0, 0))
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))(look_at(seen))


def scene(renderer=NeuSRenderer, field=HashGridSDF(grid=FeatureGrid(**GRID))):
    torch.manual_seed(0)
    made = renderer().build(field.build(3), Albedo().build(), SolidBackground().build())
    made.update(0, 10, Streams(0, 0))
    return made


def test_a_true_distance_costs_nothing():
    assert term(Eikonal(Schedule.of(1.0)), scene()).value.item() < 1e-4


def test_a_rippled_distance_becomes_truer():
    """Steps down the loss's gradient make a rippled distance a truer one."""
    made = scene()
    with torch.no_grad():
        made.field.network.table.normal_(std=0.3)
    optimizer = torch.optim.Adam(made.field.network.parameters(), lr=0.01)
    values = []
    for _ in range(12):
        value = term(Eikonal(Schedule.of(1.0)), made).value
        values.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert values[0] > 0.01 and values[-1] < 0.5 * values[0]


def test_the_weight_and_the_log():
    made = scene()
    once, often = (term(Eikonal(Schedule.of(weight)), made) for weight in (1.0, 8.0))
    assert often.value.item() == pytest.approx(8 * once.value.item()) and often.log["weight"] == 8.0


def test_a_density_is_explained():
    with pytest.raises(DistillError, match="^Eikonal Loss: this scene has no signed distance.*NeuS Renderer"):
        term(Eikonal(), scene(VolumeRenderer, HashGridVolume(**GRID)))


def test_the_node():
    loss, = EikonalLossNode.execute().args[0]
    assert loss == Eikonal() and loss.wanted == {"samples"}
    assert EikonalLossNode.execute(weight=3, losses=(loss,)).args[0][1].weight == Schedule.of(3.0)
