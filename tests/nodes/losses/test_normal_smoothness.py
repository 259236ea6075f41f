import math

import pytest
import torch

from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rendering import NEARBY, Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.encoded_volume import VolumeSettings
from distill3d.nodes.fields.hash_grid_volume import HashGridVolume
from distill3d.nodes.losses.normal_smoothness import NormalSmoothness, NormalSmoothnessLossNode
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from looks import look_at

CPU = torch.device("cpu")
FRONT = orbit(torch.tensor([0.3]), 0.2, 3.0, math.radians(40), 10, 10)


def term(loss, rendering, step=0, total=10):
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))(look_at(rendering, FRONT, step, total=total))


def scene(normals="analytic", roughness=0.0):
    torch.manual_seed(0)
    field = HashGridVolume(VolumeSettings(1.0, normals), levels=2, log2_size=12, base=8, finest=16, width=16).build(3)
    with torch.no_grad():
        field.table.add_(roughness * torch.randn_like(field.table))
    return VolumeRenderer(16, occupancy=0).build(field, Albedo().build(), SolidBackground().build())


def look(scene, loss, seed=0):
    return scene.render(FRONT, wanted=loss.wanted, streams=Streams(seed, 0), shading="albedo")


def test_picture_is_the_published_picture_of_normals():
    """Differences of (n + 1) / 2 times opacity: two pixels that face each other, one of them half empty."""
    normal = torch.tensor([[1.0, 0, 0], [0, 0.5, 0]]).view(1, 1, 2, 3)
    opacity = torch.tensor([1.0, 0.5]).view(1, 1, 2, 1)
    shown = torch.tensor([[1.0, 0.5, 0.5], [0.25, 0.5, 0.25]])
    expected = (shown[0] - shown[1]).square().mean().item()
    value = term(NormalSmoothness(), Rendering(normal=normal, opacity=opacity)).value
    assert value.item() == pytest.approx(expected)


def test_space_compares_each_sample_with_a_point_nearby():
    loss = NormalSmoothness("space")
    rendering = look(scene(roughness=9.0), loss)
    samples = rendering.samples
    assert samples.nearby.shape == samples.normal.shape
    assert term(loss, rendering).value.item() == pytest.approx((samples.normal - samples.nearby).abs().mean().item())


def test_nearby_points_are_as_far_as_stated():
    class Positions(torch.nn.Module):
        """Answers a point with itself, in place of a normal."""

        bounds = torch.tensor([[-9.0] * 3, [9.0] * 3])

        def forward(self, x, normals=False):
            return type("Answer", (), {"normal": x})

    one = scene()
    one.field = Positions()
    at = torch.zeros(20_000, 3)
    assert one._normals_nearby(at, Streams(0, 0)).std().item() == pytest.approx(NEARBY, rel=0.02)


@pytest.mark.parametrize("kind", ["picture", "space"])
@pytest.mark.parametrize("normals", ["analytic", "finite difference"])
def test_descent_evens_a_rough_ball_out(kind, normals):
    loss, rough = NormalSmoothness(kind), scene(normals, 9.0)
    optimizer = torch.optim.Adam([rough.field.table], lr=2.0)
    values = []
    for step in range(12):
        optimizer.zero_grad()
        value = term(loss, look(rough, loss, seed=step)).value
        value.backward(inputs=[rough.field.table])  # as the loop does: not towards the samples' places
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.85 * values[0]


def test_the_same_streams_give_the_same_points_and_stills_repeat():
    loss, rough = NormalSmoothness("space"), scene(roughness=9.0)
    nearby = [look(rough, loss, seed).samples.nearby for seed in (0, 0, 1)]
    assert torch.equal(nearby[0], nearby[1]) and not torch.equal(nearby[0][:50], nearby[2][:50])
    still = [rough.render(FRONT, wanted=loss.wanted, shading="albedo").samples.nearby for _ in range(2)]
    assert torch.equal(*still)


def test_other_losses_do_not_pay_for_it():
    assert look(scene(), NormalSmoothness()).samples is None
    rendering = scene().render(FRONT, wanted={"samples", "normal"}, streams=Streams(0, 0), shading="albedo")
    assert rendering.samples.nearby is None


def test_the_weight_follows_its_schedule():
    ramp = NormalSmoothness(weight=Schedule(((100, 7.0), (150, 5.0), (200, 10.0))))
    rendering = look(scene(roughness=9.0), ramp)
    plain = term(NormalSmoothness(), rendering).value.item()
    for step, weight in ((0, 7), (150, 5), (500, 10)):
        found = term(ramp, rendering, step, 600)
        assert found.value.item() == pytest.approx(weight * plain, rel=1e-5) and found.log["weight"] == weight


def test_renderers_without_samples_or_normals_are_explained():
    with pytest.raises(DistillError, match="Normal Smoothness Loss.*no normals"):
        term(NormalSmoothness(), Rendering(opacity=torch.ones(1, 2, 2, 1)))
    with pytest.raises(DistillError, match="Normal Smoothness Loss.*Volume Renderer"):
        term(NormalSmoothness("space"), Rendering(opacity=torch.ones(1, 2, 2, 1)))
    with pytest.raises(DistillError, match="kind"):
        NormalSmoothness("time")


def test_node_chains_both_kinds():
    first = NormalSmoothnessLossNode.execute().args[0]
    both = NormalSmoothnessLossNode.execute("space", 3.0, first).args[0]
    assert both == (NormalSmoothness(), NormalSmoothness("space", Schedule.of(3.0)))
    assert len({loss.name for loss in both}) == 2
