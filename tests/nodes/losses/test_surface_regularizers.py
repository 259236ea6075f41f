"""Depth Variance, Emptiness, Convexity and Total Variation Loss on renderings with known values."""
import math

import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.rendering import Rendering, Samples
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.convexity import Convexity, ConvexityLossNode
from distill3d.nodes.losses.depth_variance import DepthVariance, DepthVarianceLossNode
from distill3d.nodes.losses.emptiness import Emptiness, EmptinessLossNode
from distill3d.nodes.losses.total_variation import TotalVariation, TotalVariationLossNode
from looks import look_at

CAMERAS = turntable(1, 0, 3, 40, 32)


def value(loss, rendering, step=0):
    prepared = loss.prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))
    return prepared(look_at(rendering, CAMERAS, step)).value


def samples(weights, t):
    count = len(weights)
    ray = torch.zeros(count, dtype=torch.long)
    return Rendering(samples=Samples(ray, 1, t, torch.ones(count), weights, weights, None, torch.zeros(count, 3)))


def ball(sign):
    """A ball, or the inside of one: what the camera sees of it."""
    origins, directions = CAMERAS.rays()
    middle = -(origins * directions).sum(-1, keepdim=True)
    inside = 0.5 - (origins.square().sum(-1, keepdim=True) - middle.square())
    opacity = (inside > 0).float()
    depth = (middle - sign * inside.clamp_min(0).sqrt()) * opacity
    normal = sign * (origins + directions * depth) * opacity
    return Rendering(opacity=opacity, depth=depth.requires_grad_(), normal=normal)


def test_variance_and_emptiness_of_one_ray():
    weights, t = torch.tensor([0.5, 0.5], requires_grad=True), torch.tensor([1.0, 3.0])
    assert value(DepthVariance(), samples(weights, t)).item() == pytest.approx(1.0)
    loss = value(Emptiness(Schedule.of(2.0)), samples(weights, t))
    assert loss.item() == pytest.approx(4 * math.log(6))
    loss.backward()
    assert (weights.grad > 0).all()


def test_the_inside_of_a_ball_costs_and_its_outside_does_not():
    assert value(Convexity(), ball(1)).item() < 0.01
    hollow = ball(-1)
    loss = value(Convexity(), hollow)
    loss.backward()
    assert loss.item() > 0.1 and torch.isfinite(hollow.depth.grad).all() and float(hollow.depth.grad.abs().sum()) > 0


def test_total_variation_of_the_chosen_picture():
    picture = torch.rand(1, 8, 8, 3)
    known = picture.diff(dim=1).abs().mean() + picture.diff(dim=2).abs().mean()
    found = value(TotalVariation("rgb", Schedule.of(3.0)), Rendering(rgb=picture))
    assert found.item() == pytest.approx(3 * known.item())
    assert TotalVariation("depth").wanted == {"depth"}
    with pytest.raises(DistillError, match="Total Variation Loss.*shade"):
        TotalVariation("shade")


def test_renderers_without_samples_are_named():
    for loss, name in ((DepthVariance(), "Depth Variance Loss"), (Emptiness(), "Emptiness Loss")):
        with pytest.raises(DistillError, match=name):
            value(loss, Rendering())


@pytest.mark.parametrize("node", [ConvexityLossNode, DepthVarianceLossNode, EmptinessLossNode, TotalVariationLossNode])
def test_nodes_chain(node):
    first, = node.execute().args
    both, = node.execute(weight=3.0, losses=first).args
    assert both[0] is first[0] and both[1].weight.at(0, 1) == 3.0
