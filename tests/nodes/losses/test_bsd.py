"""BSD with Gaussians, whose scores are known: the prior learns the mean of what it repaints, the second that of what is
there."""
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state
from distill3d.nodes.losses.bsd import BSD, BSDLossNode
from distill3d.nodes.losses.vsd import VSD
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.priors.dreambooth_prior import DreamBooth, DreamBoothPrior
from gaussian_prior import ABAR, GaussianPrior, LoadedGaussian
from image_scene import picture_recipe
from looks import look_at
from loop_parts import Around, StopAt

CPU = torch.device("cpu")
PROMPT = Prompt("red", negative="grey")
MEANS = (("red", 0.5), ("red, front view", 0.6), ("red, back view", 0.2), ("red, side view", 0.4), ("grey", -0.2))
GAUSSIAN = GaussianPrior(MEANS)
CAMERAS = turntable(3, 0, 3, 40, 8)


class LoadedLearner(LoadedGaussian):
    """A Gaussian whose mean is its text's plus what it learned."""

    is_tunable = True

    def __init__(self, recipe, device):
        super().__init__(recipe, device)
        self.adapter = nn.ParameterDict({"shift": nn.Parameter(torch.zeros(()))})

    def mean_of(self, condition):
        return super().mean_of(condition) + self.adapter["shift"]

    def error(self, z, noise, t, condition, cameras, drops_camera=False):
        z0, = self.denoise(self.add_noise(z.clean, noise, t), t, [condition], cameras)
        return ((z.clean - z0) / self.sigma(t).view(-1, 1, 1, 1)).square().mean()


@dataclass(frozen=True)
class Learner:
    base: GaussianPrior = GAUSSIAN
    image = ""

    def load(self, priors):
        return LoadedLearner(self.base, priors.device)


class Adaptable(LoadedGaussian):
    is_adaptable = True

    def private(self):
        return self


class LoadedBootstrap(DreamBoothPrior):
    """A DreamBooth Prior whose network is the learner's, repainted by the Gaussian that it was."""

    def __init__(self, recipe):
        super().__init__(Adaptable(GAUSSIAN, CPU), recipe)
        self.own = LoadedLearner(GAUSSIAN, CPU)
        self.adapter, self.denoise, self.error = self.own.adapter, self.own.denoise, self.own.error


@dataclass(frozen=True)
class Bootstrap(DreamBooth):
    def load(self, priors):
        return LoadedBootstrap(self)


PRIOR = Bootstrap(GAUSSIAN, rate=Schedule.of(0.02), guidance=1.0, steps=5, refresh=5, kept=2)


def prepared(loss, total=100):
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))


def picture(seed=0):
    return torch.rand(3, 8, 8, 3, generator=torch.Generator().manual_seed(seed))


def gradient(loss, rgb, step=5):
    rgb = rgb.clone().requires_grad_()
    loss(look_at(Rendering(rgb=rgb), CAMERAS, step, Streams(1, step))).value.backward()
    return rgb.grad


def test_gradient_equals_the_closed_form():
    """2 w (eps_bootstrapped - eps_painted) / B: both models where their training has brought them, in float64."""
    loss = prepared(BSD(PRIOR, Learner(), PROMPT, guidance=Schedule.of(4.0), learning=0))
    with torch.no_grad():
        loss.prior.adapter["shift"].fill_(0.3), loss.lora.adapter["shift"].fill_(-0.4)
    rgb = picture()
    found, streams = gradient(loss, rgb), Streams(1, 5)
    t = torch.randint(50, 501, (3,), generator=streams("timestep"))
    noise = torch.randn((3, 3, 8, 8), generator=streams("noise")).double()
    a = ABAR.double()[t].view(-1, 1, 1, 1)
    z_t = a.sqrt() * (rgb.permute(0, 3, 1, 2).double() * 2 - 1) + (1 - a).sqrt() * noise

    def eps(mean):
        return (1 - a).sqrt() * (z_t - a.sqrt() * mean) / (a * 0.01 + 1 - a)

    means = torch.tensor([dict(MEANS)[text] for text in PROMPT.of_cameras(CAMERAS)]).view(-1, 1, 1, 1)
    guided = eps(-0.2 + 0.3) + 4.0 * (eps(means + 0.3) - eps(-0.2 + 0.3))
    expected = (2 * (1 - a) * (guided - eps(0.5 - 0.4)) / 3).permute(0, 2, 3, 1)
    assert (found.double() - expected).abs().max() < 1e-5 * expected.abs().max()


def test_before_the_prior_has_learned_it_is_vsd():
    settings = dict(guidance=Schedule.of(3.0), t_min=Schedule.of(0.1), t_max=Schedule.of(0.6))
    found = gradient(prepared(BSD(PRIOR, Learner(), PROMPT, learning=3, cycle=10, **settings)), picture())
    assert torch.equal(found, gradient(prepared(VSD(GAUSSIAN, Learner(), PROMPT, **settings)), picture()))


def test_prior_and_scene_take_turns():
    loss = prepared(BSD(PRIOR, Learner(), PROMPT, cycle=5, learning=2, lora_rate=Schedule.of(0.01)))
    ours, theirs = loss.prior.adapter["shift"], loss.lora.adapter["shift"]
    for step in range(10):
        before = ours.item(), theirs.item()
        rgb = picture().requires_grad_()
        term = loss(look_at(Rendering(rgb=rgb), CAMERAS, step))
        is_learning = step % 5 < 2
        assert term.value.requires_grad == (not is_learning) == ("lora error" in term.log)
        assert (ours.item() != before[0]) == is_learning == (theirs.item() == before[1]) == ("prior error" in term.log)


def test_the_prior_learns_what_it_repaints():
    """A rendering of 0 is repainted towards the text, by as much as t' takes away, and there the prior's mean goes."""
    loss = prepared(BSD(PRIOR, Learner(), Prompt("red", views="none"), learning=200, cycle=201), total=200)
    for step in range(200):
        loss(look_at(Rendering(rgb=torch.full((3, 8, 8, 3), 0.5)), CAMERAS, step))
    repainted = torch.cat([batch.z.clean for batch in loss.prior.repainted]).mean()
    assert 0.05 < repainted < 0.5
    assert 0.5 + loss.prior.adapter["shift"].item() == pytest.approx(repainted.item(), abs=0.08)


@pytest.mark.parametrize("cut", [7, 13])
def test_cancel_and_resume_equals_the_uninterrupted_run(tmp_path, cut):
    """Cut while the scene learns and while the prior does: both models, their optimisers and what was repainted are in
    the state, and trying the largest batch leaves no trace in them."""
    loss = BSD(PRIOR, Learner(), PROMPT, cycle=10, learning=5, lora_rate=Schedule.of(0.05))
    chain = (Objective(Around(), (loss,), batch=Schedule(((0, 2), (16, 4))), resolution=Schedule.of(8)),)

    def run(name, host=None, **settings):
        folder = tmp_path / name
        return Run(picture_recipe(), chain, OptimizerSettings(learning_rate=0.02), RunSettings(25, **settings),
                   host or Host(folder), "7").run().scene.state["pixels"]

    whole = run("whole")
    with pytest.raises(Cancelled):
        run("cut", StopAt(tmp_path / "cut", cut), save_every=1e-9)
    state, = (tmp_path / "cut" / "distill3d_states").iterdir()
    tensors, facts = read_state(state)
    name = "loss.objective.0.bsd.bootstrapped."
    assert facts["step"] == cut and tensors[name + "model.adapter.shift"] != 0
    assert [int(tensors[f"{name}repainted.{i}.step"]) for i in range(1 + (cut > 10))] == [0, 10][:1 + (cut > 10)]
    assert torch.equal(run("cut", resume=True, save_every=1e-9), whole)


def test_what_cannot_work_is_explained():
    with pytest.raises(DistillError, match="^BSD Loss.*DreamBooth Prior"):
        prepared(BSD(GAUSSIAN, Learner(), PROMPT))
    with pytest.raises(DistillError, match="^BSD Loss.*LoRA Prior"):
        prepared(BSD(PRIOR, GAUSSIAN, PROMPT))
    with pytest.raises(DistillError, match="^BSD Loss.*the same model"):
        prepared(BSD(PRIOR, PRIOR, PROMPT))
    with pytest.raises(DistillError, match="^BSD Loss.*never.*learning"):
        BSD(PRIOR, Learner(), PROMPT, cycle=200, learning=200)
    with pytest.raises(DistillError, match="^BSD Loss.*normal and depth"):
        BSD(PRIOR, Learner(), PROMPT, image="normal and depth")
    loss = prepared(BSD(PRIOR, Learner(), PROMPT))
    with pytest.raises(DistillError, match="^DreamBooth Prior.*does not fit"):
        loss.load_state_dict(loss.state_dict() | {"bootstrapped.model.adapter.other": torch.zeros(())})


def test_node_chains_losses_and_begins_with_the_published_numbers():
    first, = BSDLossNode.execute(PRIOR, Learner(), PROMPT).args
    both, = BSDLossNode.execute(PRIOR, Learner(), PROMPT, image="normal", cycle=50, learning=20, losses=first).args
    assert first == (BSD(PRIOR, Learner(), PROMPT),) and (first[0].cycle, first[0].learning) == (1000, 200)
    assert both[0] is first[0] and both[1].wanted == {"normal", "opacity"} and (
        both[1].cycle, both[1].learning) == (50, 20)
