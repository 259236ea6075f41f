import math

import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import KINDS, OptimizerSettings
from distill3d.nodes.optimize.readings import Readings
from image_scene import picture_recipe


class Around:
    def __repr__(self):
        return "Around"

    def sample(self, batch, height, width, step, total, streams):
        return turntable(batch, 15, 3, 40, height)


class Spoilt(Stateless):
    """A loss whose gradient is not a number at the steps of which `spoils` says so."""

    name, wanted = "spoilt", frozenset({"rgb"})

    def __init__(self, spoils):
        self.spoils = spoils

    def __repr__(self):
        return "Spoilt"

    def prepare(self, context):
        return self

    def __call__(self, look):
        value = look.rendering.rgb.square().mean()
        return Term(value * (math.nan if self.spoils(look.step) else 1.0), {"value": value, "step": look.step})


def finished(folder, spoils, waiting, kind="Adam", steps=40):
    host = Host(folder)
    chain = (Objective(Around(), (Spoilt(spoils),), batch=Schedule.of(2), resolution=Schedule.of(8)),)
    job = Run(picture_recipe(), chain, OptimizerSettings(kind, learning_rate=0.02), RunSettings(steps), host, "7")
    job.waiting = waiting
    return job, job.run(), host


def test_numbers_are_taken_in_order_and_late():
    readings = Readings()
    readings.send(3, {"a": torch.tensor(0.5, requires_grad=True), "b": 2}, torch.tensor(False))
    assert list(readings.take(waiting=1)) == []
    readings.send(4, {"c": torch.ones(1, 1)}, torch.tensor(True))
    first, = readings.take(waiting=1)
    assert (first.step, first.facts, first.is_bad) == (3, {"a": 0.5, "b": 2.0}, False)
    second, = readings.take()
    assert (second.step, second.facts, second.is_bad) == (4, {"c": 1.0}, True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spoils", [lambda step: step in (0, 3, 4), lambda step: 5 <= step < 16], ids=["some", "lost"])
def test_a_run_that_looks_later_is_the_same(tmp_path, spoils, kind):
    """The last good step of the one that is lost is 16, which only begins where the end is known too late."""
    (now, at_once, told), (late, later, warned) = (finished(tmp_path / str(waiting), spoils, waiting, kind)
                                                   for waiting in (0, 1))
    assert at_once.steps == later.steps and now.health.skipped == late.health.skipped
    assert torch.equal(at_once.scene.state["pixels"], later.scene.state["pixels"])
    assert torch.isfinite(later.scene.state["pixels"]).all()
    assert at_once.history.values == later.history.values and told.warnings == warned.warnings
    assert now.health.opacity == late.health.opacity
    assert later.steps == (15 if spoils(5) else 40)


def test_fused_steps_are_those_of_the_plain_optimiser():
    settings = OptimizerSettings(epsilon=1e-8, weight_decay=0.1)
    fused = torch.nn.Parameter(torch.linspace(-1, 1, 101, dtype=torch.float64))
    plain = torch.nn.Parameter(fused.detach().clone())
    ours = settings.build({"color": [fused]})
    theirs = torch.optim.Adam([plain], lr=settings.learning_rate, betas=(settings.beta1, settings.beta2),
                              eps=settings.epsilon, weight_decay=settings.weight_decay, foreach=False)
    for step in range(5):
        for parameter, optimizer in (fused, ours), (plain, theirs):
            parameter.grad = (parameter.detach() * (step + 1)).sin()
            optimizer.step()
    assert torch.allclose(fused, plain, rtol=1e-12, atol=0)


def test_devices_without_a_fused_kernel_get_the_plain_optimiser():
    optimizer = OptimizerSettings().build({"color": [torch.nn.Parameter(torch.zeros(3, device="meta"))]})
    assert not optimizer.defaults["fused"]
