"""The four regularisers on renderings: what a recipe wants, weighs, logs and chains."""
import math

import pytest
import torch

from distill3d.kernels.volume.composite import composite
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rendering import Rendering, Samples
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.distortion import Distortion, DistortionLossNode
from distill3d.nodes.losses.opacity_entropy import OpacityEntropy, OpacityEntropyLossNode
from distill3d.nodes.losses.orientation import Orientation, OrientationLossNode
from distill3d.nodes.losses.sparsity import Sparsity, SparsityLossNode
from looks import look_at

CPU = torch.device("cpu")
NODES = [SparsityLossNode, OpacityEntropyLossNode, OrientationLossNode, DistortionLossNode]


def rendering(density=None, normals=True):
    """One view of 1 x 2 pixels: two samples on the first ray, one on the second."""
    density = torch.tensor([1.0, 2.0, 0.5]) if density is None else density
    ray, delta, t = torch.tensor([0, 0, 1]), torch.full((3,), 0.5), torch.tensor([1.0, 2.0, 1.0])
    weights, opacity = composite(density, delta, ray, 2)
    normal = torch.tensor([[0.0, 0.0, -1.0]]).expand(3, 3) if normals else None
    samples = Samples(ray, 2, t, delta, weights, density, normal, torch.tensor([[0.0, 0.6, -0.8]]).expand(3, 3))
    return Rendering(opacity=opacity.reshape(1, 1, 2, 1), samples=samples)


def term(loss, picture, step=0, total=10):
    prepared = loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))
    return prepared(look_at(picture, step=step, total=total))


def test_sparsity():
    opacity = rendering().opacity
    assert term(Sparsity(), rendering()).value.item() == pytest.approx((opacity**2 + 0.01).sqrt().mean().item())


def test_opacity_entropy():
    o = rendering().opacity
    nats = -(o * o.log() + (1 - o) * (1 - o).log()).mean().item()
    assert term(OpacityEntropy("nats"), rendering()).value.item() == pytest.approx(nats, rel=1e-5)
    assert term(OpacityEntropy("bits"), rendering()).value.item() == pytest.approx(nats / math.log(2), rel=1e-5)


def test_orientation():
    picture = rendering()
    expected = picture.samples.weights.sum() * 0.8**2 / 2
    assert term(Orientation(Schedule.of(1.0)), picture).value.item() == pytest.approx(expected.item())


def test_distortion():
    picture = rendering()
    w = picture.samples.weights
    first = 2 * w[0] * w[1] * 1.0 + (w[0]**2 + w[1]**2) * 0.5 / 3
    second = w[2]**2 * 0.5 / 3
    assert term(Distortion(), picture).value.item() == pytest.approx(((first + second) / 2).item())


@pytest.mark.parametrize("loss", [Sparsity, OpacityEntropy, Distortion])
def test_density_is_told(loss):
    density = torch.tensor([1.0, 2.0, 0.5], requires_grad=True)
    term(loss(), rendering(density)).value.backward()
    assert torch.isfinite(density.grad).all() and density.grad.abs().sum() > 0


@pytest.mark.parametrize("loss", [Sparsity, OpacityEntropy, Orientation, Distortion])
def test_the_weight_follows_its_schedule_and_the_log_shows_both(loss):
    ramp = loss(weight=Schedule(((0, 0.0), (1, 8.0)), unit="fraction"))
    first, middle, last = (term(ramp, rendering(), step, total=11) for step in (0, 5, 10))
    assert first.value == 0
    assert last.value.item() == pytest.approx(2 * middle.value.item())
    assert middle.log["weight"] == 4.0
    assert middle.log["value"].item() * 4 == pytest.approx(middle.value.item())
    assert not middle.log["value"].requires_grad


@pytest.mark.parametrize("loss, wanted", [
    (Sparsity(), {"opacity"}), (OpacityEntropy(), {"opacity"}), (Orientation(), {"samples", "normal"}),
    (Distortion(), {"samples"})])
def test_what_is_wanted(loss, wanted):
    assert loss.wanted == wanted and hash(loss) == hash(type(loss)())


@pytest.mark.parametrize("loss, title", [(Orientation(), "Orientation Loss"), (Distortion(), "Distortion Loss")])
def test_renderers_without_samples_are_explained(loss, title):
    with pytest.raises(DistillError, match=f"{title}.*Volume Renderer"):
        term(loss, Rendering(opacity=torch.zeros(1, 1, 1, 1)))


def test_samples_without_normals_are_explained():
    with pytest.raises(DistillError, match="no normals"):
        term(Orientation(), rendering(normals=False))


def test_prepared_losses_have_no_state():
    prepared = Sparsity().prepare(RunContext(CPU, 0, LoadedPriors(CPU)))
    assert prepared.state_dict() == {}
    prepared.load_state_dict({})


def test_nodes_chain_upstream_first():
    chain = ()
    for node in NODES:
        chain = node.execute(losses=chain).args[0]
    assert [type(loss) for loss in chain] == [Sparsity, OpacityEntropy, Orientation, Distortion]
    assert len({loss.name for loss in chain}) == 4


@pytest.mark.parametrize("node", NODES)
def test_nodes_take_numbers_and_schedules(node):
    ramp = Schedule(((0, 10.0), (5000, 1000.0)))
    assert node.execute(weight=ramp).args[0][0].weight is ramp
    assert node.execute(weight=3).args[0][0].weight == Schedule.of(3.0)


@pytest.mark.parametrize("node", NODES)
def test_widgets_start_with_the_recipes_numbers(node):
    defaults = {widget.id: widget.default for widget in node.define_schema().inputs if widget.default is not None}
    loss = node.execute(**defaults).args[0][0]
    assert loss == type(loss)()
