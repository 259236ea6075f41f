"""VSD with Gaussians, whose scores are known: the prior's are given, and the second model learns the mean of what is
rendered."""
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
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.vsd import VSD, VSDLossNode
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from gaussian_prior import ABAR, GaussianPrior, LoadedGaussian
from image_scene import picture_recipe
from looks import look_at
from loop_parts import Around, StopAt

CPU = torch.device("cpu")
PROMPT = Prompt("red", views="none")
PRIOR = GaussianPrior((("red", 0.6), ("red, front view", 0.1), ("red, back view", -0.1), ("", -0.2)))
CAMERAS = turntable(3, 0, 3, 40, 8)


@dataclass(frozen=True)
class Learner:
    """Recipe of a Gaussian whose mean is its text's plus what it learned, in pictures that share one camera's place."""

    base: GaussianPrior = PRIOR
    image = ""

    def load(self, priors):
        return LoadedLearner(self.base, priors.device)


class LoadedLearner(LoadedGaussian):
    is_tunable = True

    def __init__(self, recipe, device):
        super().__init__(recipe, device)
        self.adapter, self.blind = nn.ParameterDict({"shift": nn.Parameter(torch.zeros(()))}), []

    def mean_of(self, condition):
        return super().mean_of(condition) + self.adapter["shift"]

    def error(self, z, noise, t, condition, cameras, drops_camera=False):
        self.blind.append(drops_camera)
        z0, = self.denoise(self.add_noise(z.clean, noise, t), t, [condition], cameras)
        return ((z.clean - z0) / self.sigma(t).view(-1, 1, 1, 1)).square().mean()


@dataclass(frozen=True, eq=False)
class Knowing:
    """Recipe of a second model that is told the clean picture, and so knows the noise."""

    z: torch.Tensor
    image = ""

    def load(self, priors):
        return LoadedKnowing(self)


class LoadedKnowing(LoadedLearner):
    def __init__(self, recipe):
        super().__init__(PRIOR, CPU)
        self.z = recipe.z

    def denoise(self, z_t, t, conditions, cameras, beside=None):
        return [self.z + 0 * self.adapter["shift"]]


def prepared(loss, total=100):
    return loss.prepare(RunContext(CPU, 0, LoadedPriors(CPU)))


def gradient(loss, rgb, seed=1):
    rgb = rgb.clone().requires_grad_()
    prepared(loss)(look_at(Rendering(rgb=rgb), CAMERAS, 5, Streams(seed, 5))).value.backward()
    return rgb.grad


def picture(seed=0):
    return torch.rand(3, 8, 8, 3, generator=torch.Generator().manual_seed(seed))


def test_against_itself_the_gradient_is_zero_at_every_draw():
    """And so on average: the second model as it was pretrained, without guidance and without view words."""
    loss = VSD(PRIOR, Learner(), PROMPT, guidance=Schedule.of(1.0), lora_rate=Schedule.of(0.0))
    for seed in range(5):
        assert gradient(loss, picture(seed), seed).abs().max() < 1e-6
    assert gradient(VSD(PRIOR, Learner(), PROMPT, lora_rate=Schedule.of(0.0)), picture()).abs().max() > 1e-3


def test_it_is_sds_when_the_second_model_knows_the_noise():
    rgb = picture()
    found = gradient(VSD(PRIOR, Knowing(rgb.permute(0, 3, 1, 2) * 2 - 1), PROMPT), rgb)
    torch.testing.assert_close(found, gradient(SDS(PRIOR, PROMPT, Schedule.of(7.5)), rgb))


def test_gradient_equals_the_closed_form():
    """2 w (eps_hat - eps_painted) / B: guided for the prior, which reads view words, and not for the second model."""
    prompt, other = Prompt("red"), GaussianPrior((("red", -0.5),), deviation=0.3)
    rgb = picture()
    found = gradient(VSD(PRIOR, Learner(other), prompt, guidance=Schedule.of(4.0)), rgb)
    streams = Streams(1, 5)
    t = torch.randint(20, 981, (3,), generator=streams("timestep"))
    noise = torch.randn((3, 3, 8, 8), generator=streams("noise")).double()
    a = ABAR.double()[t].view(-1, 1, 1, 1)
    z_t = a.sqrt() * (rgb.permute(0, 3, 1, 2).double() * 2 - 1) + (1 - a).sqrt() * noise

    def eps(mean, deviation=0.1):
        return (1 - a).sqrt() * (z_t - a.sqrt() * mean) / (a * deviation**2 + 1 - a)

    means = torch.tensor([dict(PRIOR.means).get(text, 0.0) for text in prompt.of_cameras(CAMERAS)]).view(-1, 1, 1, 1)
    guided = eps(-0.2) + 4.0 * (eps(means) - eps(-0.2))
    expected = (2 * (1 - a) * (guided - eps(-0.5, 0.3)) / 3).permute(0, 2, 3, 1)
    assert (found.double() - expected).abs().max() < 1e-5 * expected.abs().max()


@dataclass(frozen=True)
class OtherScale(GaussianPrior):
    """The same Gaussian, whose z_t is z + sigma * noise, as models of ComfyUI have it."""

    def load(self, priors):
        return LoadedOtherScale(self, priors.device)


class LoadedOtherScale(LoadedGaussian):
    def add_noise(self, z, noise, t):
        return z + self.sigma(t).view(-1, 1, 1, 1) * noise

    def denoise(self, z_t, t, conditions, cameras, beside=None):
        return super().denoise(z_t * ABAR[t].sqrt().view(-1, 1, 1, 1), t, conditions, cameras)


def test_each_model_gets_the_noise_in_its_own_scaling():
    rgb = picture()
    found, expected = (gradient(VSD(prior, Learner(), PROMPT), rgb) for prior in (OtherScale(PRIOR.means), PRIOR))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_the_second_model_learns_what_is_rendered():
    loss = prepared(VSD(PRIOR, Learner(), PROMPT, lora_rate=Schedule.of(0.02)), total=200)
    rgb = torch.full((3, 8, 8, 3), 0.35)  # -0.3 in [-1,1]; "red" means 0.6
    errors = [loss(look_at(Rendering(rgb=rgb), CAMERAS, step)).log["lora error"].item() for step in range(200)]
    assert loss.lora.adapter["shift"].item() == pytest.approx(-0.9, abs=0.1)
    assert sum(errors[-20:]) < 0.2 * sum(errors[:20])
    assert 0.03 < sum(loss.lora.blind) / 200 < 0.2


def test_descent_reaches_the_guided_mean_and_stays():
    """At guidance 1, where the second model has learned the rendering, both agree only at the prior's mean."""
    loss = prepared(VSD(PRIOR, Learner(), PROMPT, guidance=Schedule.of(1.0), lora_rate=Schedule.of(0.03)), total=400)
    rgb = torch.full((3, 8, 8, 3), 0.3, requires_grad=True)
    optimizer = torch.optim.Adam([rgb], lr=0.01)
    for step in range(400):
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 400)
        loss(look_at(Rendering(rgb=rgb), CAMERAS, step)).value.backward()
        optimizer.step()
    assert abs(rgb.mean().item() - 0.8) < 0.03


def test_the_rate_follows_its_schedule_and_bad_numbers_change_nothing():
    loss = prepared(VSD(PRIOR, Learner(), PROMPT, lora_rate=Schedule(((0, 0.0), (1, 0.01)))))
    shift = loss.lora.adapter["shift"]
    loss(look_at(Rendering(rgb=picture()), CAMERAS))
    assert shift.item() == 0
    loss(look_at(Rendering(rgb=picture() * float("nan")), CAMERAS, 1, Streams(0, 1)))
    assert shift.item() == 0
    loss(look_at(Rendering(rgb=picture()), CAMERAS, 2, Streams(0, 2)))
    assert abs(shift.item()) == pytest.approx(0.01, rel=0.3)


def test_cancel_and_resume_equals_the_uninterrupted_run(tmp_path):
    """The second model and its optimiser are in the state, and trying the largest batch leaves no trace in them."""
    chain = (Objective(Around(), (VSD(PRIOR, Learner(), PROMPT, lora_rate=Schedule.of(0.05)),),
                       batch=Schedule(((0, 2), (20, 4))), resolution=Schedule.of(8)),)

    def run(name, host=None, **settings):
        folder = tmp_path / name
        return Run(picture_recipe(), chain, OptimizerSettings(learning_rate=0.02), RunSettings(25, **settings),
                   host or Host(folder), "7").run().scene.state["pixels"]

    whole = run("whole")
    with pytest.raises(Cancelled):
        run("cut", StopAt(tmp_path / "cut", 13), save_every=1e-9)
    state, = (tmp_path / "cut" / "distill3d_states").iterdir()
    tensors, facts = read_state(state)
    assert facts["step"] == 13 and tensors["loss.objective.0.vsd.adapter.shift"].abs() > 0.1
    assert torch.equal(run("cut", resume=True, save_every=1e-9), whole)


@pytest.mark.parametrize("name, value", [
    ("optimizer.0.exp_avg", torch.zeros(5)), ("optimizer.7.exp_avg", torch.zeros(())),
    ("optimizer.x", torch.zeros(())), ("nothing", torch.zeros(()))])
def test_a_saved_second_model_that_does_not_fit_is_refused(name, value):
    loss = prepared(VSD(PRIOR, Learner(), PROMPT))
    loss(look_at(Rendering(rgb=torch.rand(3, 8, 8, 3)), CAMERAS, 0, Streams(0, 0)))
    state = loss.state_dict()
    loss.load_state_dict(state)
    with pytest.raises(DistillError, match="the saved optimiser has"):
        loss.load_state_dict({**state, name: value})


def test_models_that_do_not_go_together_are_explained():
    with pytest.raises(DistillError, match="LoRA Prior"):
        prepared(VSD(PRIOR, PRIOR, PROMPT))
    with pytest.raises(DistillError, match="size"):
        prepared(VSD(PRIOR, Learner(GaussianPrior(size=16)), PROMPT))
    with pytest.raises(DistillError, match="^VSD Loss.*t_max"):
        gradient(VSD(PRIOR, Learner(), PROMPT, t_min=Schedule.of(0.9), t_max=Schedule.of(0.1)), picture())
    one = prepared(VSD(PRIOR, Learner(), PROMPT))
    with pytest.raises(DistillError, match="does not fit"):
        one.load_state_dict({"adapter.other": torch.zeros(())})


def test_node_chains_losses_and_begins_with_the_published_numbers():
    first, = VSDLossNode.execute(PRIOR, Learner(), PROMPT).args
    both, = VSDLossNode.execute(PRIOR, Learner(), PROMPT, image="normal", lora_rate=0.001, losses=first).args
    assert first == (VSD(PRIOR, Learner(), PROMPT),) and both[0] is first[0]
    assert both[1].wanted == {"normal", "opacity"} and both[1].lora_rate.at(0, 1) == 0.001
