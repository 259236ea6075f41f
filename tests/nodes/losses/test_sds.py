import math
from dataclasses import dataclass

import pytest
import torch

from distill3d.kernels.distill.weighting import WEIGHTINGS, weight
from distill3d.nodes.core.cameras import orbit, turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors, TextCondition
from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sds import SDS, SDSLossNode
from gaussian_prior import ABAR, GaussianPrior, LoadedGaussian
from looks import look_at

PROMPT = Prompt("red", views="none")
PRIOR = GaussianPrior((("red", 0.6), ("red, front view", 0.1), ("red, back view", -0.1), ("", -0.2)))


def prepared(loss, total=100):
    return loss.prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_gradient_equals_the_closed_form(kind):
    """d loss / d rgb = 2 w(t) (eps_hat - eps) / B, with eps_hat of the Gaussian's exact guided score."""
    loss = prepared(SDS(PRIOR, PROMPT, Schedule.of(4.0), kind))
    rgb = torch.rand(3, 8, 8, 3, requires_grad=True)
    streams = Streams(1, 5)
    loss(look_at(Rendering(rgb=rgb), turntable(3, 0, 3, 40, 8), 5, streams)).value.backward()

    again = Streams(1, 5)
    t = torch.randint(20, 981, (3,), generator=again("timestep"))
    noise = torch.randn((3, 3, 8, 8), generator=again("noise")).double()
    z = rgb.detach().permute(0, 3, 1, 2).double() * 2 - 1
    a = ABAR.double()[t].view(-1, 1, 1, 1)
    z_t = a.sqrt() * z + (1 - a).sqrt() * noise

    def eps(mean):  # -sigma * score of N(sqrt(a) m, a d^2 + 1 - a)
        return (1 - a).sqrt() * (z_t - a.sqrt() * mean) / (a * 0.01 + 1 - a)

    guided = eps(-0.2) + 4.0 * (eps(0.6) - eps(-0.2))
    level = lambda t: ((1 - ABAR.double()[t]) / ABAR.double()[t]).sqrt()  # noqa: E731
    w = weight(level(t), kind, level(t - 1)).view(-1, 1, 1, 1)
    expected = (2 * w * (guided - noise) / 3).permute(0, 2, 3, 1)
    assert (rgb.grad.double() - expected).abs().max() < 1e-5 * max(1.0, expected.abs().max().item())


def test_descent_reaches_the_mean():
    loss = prepared(SDS(PRIOR, PROMPT, Schedule.of(1.0)), total=200)
    rgb = torch.full((4, 8, 8, 3), 0.3, requires_grad=True)
    optimizer = torch.optim.Adam([rgb], lr=0.03)
    for step in range(200):
        optimizer.zero_grad()
        for entry in optimizer.param_groups:
            entry["lr"] = 0.03 * (1 - step / 200)
        loss(look_at(Rendering(rgb=rgb), turntable(4, 0, 3, 40, 8), step)).value.backward()
        optimizer.step()
    assert abs(rgb.mean().item() - 0.8) < 0.01  # 0.6 in [-1,1] is 0.8 in [0,1]
    assert (rgb - 0.8).abs().max() < 0.1


def test_view_words_choose_the_condition_of_each_camera():
    loss = prepared(SDS(PRIOR, Prompt("red"), Schedule.of(1.0), "x0", Schedule.of(0.999), Schedule.of(0.999)))
    rgb = torch.full((4, 8, 8, 3), 0.5, requires_grad=True)
    loss(look_at(Rendering(rgb=rgb), turntable(4, 0, 3, 40, 8))).value.backward()
    pull = -rgb.grad.mean((1, 2, 3)) * 4  # towards the mean of each view's own text: front 0.1, sides 0, back -0.1
    assert pull[0] > 0.15 and pull[2] < -0.15 and pull[1].abs() < 0.05 and pull[3].abs() < 0.05


@dataclass(frozen=True)
class PatternPrior(GaussianPrior):
    """Each text's mean is a picture of its own, so that predictions differ in direction and not only in strength."""

    texts: tuple = ()

    def load(self, device):
        return LoadedPattern(self, device)

    def pattern(self, text):
        generator = torch.Generator().manual_seed(self.texts.index(text))
        return torch.rand(3, 8, 8, generator=generator) * 2 - 1


class LoadedPattern(LoadedGaussian):
    def encode_prompts(self, texts):
        return TextCondition(torch.stack([self.recipe.pattern(text).flatten()[None] for text in texts]))

    def mean_of(self, condition):
        return condition.embedding.view(-1, 3, 8, 8)


def test_interpolated_views_combine_four_conditions():
    """Against Perp-Neg written out with noise predictions, whose published numbers the weights are."""
    front, side, back, above = texts = tuple(f"red, {view} view" for view in ("front", "side", "back", "overhead"))
    prior = PatternPrior(texts=(*texts, "ugly"))
    t_only = Schedule.of(0.4)
    loss = prepared(SDS(prior, Prompt("red", "ugly", INTERPOLATED), Schedule.of(7.5), "uniform", t_only, t_only))
    angles = torch.deg2rad(torch.tensor([[30.0, 0], [-120, 10], [180, 0], [20, 80]]))
    cameras = orbit(angles[:, 0], angles[:, 1], 3.0, 0.7, 8, 8)
    rgb = torch.rand(4, 8, 8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss(look_at(Rendering(rgb=rgb), cameras, 5, Streams(1, 5))).value.backward()

    noise = torch.randn((4, 3, 8, 8), generator=Streams(1, 5)("noise")).double()
    z = rgb.detach().permute(0, 3, 1, 2).double() * 2 - 1
    a = ABAR.double()[400]
    z_t = a.sqrt() * z + (1 - a).sqrt() * noise

    def decay(height, shift, r):
        return height * math.exp(-r / 2) + shift

    expected = []
    for row, (share, wanted, other, first, second) in enumerate([
            (2 / 3, front, side, (front, -decay(4, -2.426, 2 / 3)), (side, -decay(4, -2.426, 1 / 3))),
            (2 / 3, side, back, (side, -decay(1, -0.606, 2 / 3)), (front, -decay(1, 0.967, 2 / 3))),
            (1.0, back, back, (side, -decay(1, -0.606, 0)), (front, -decay(1, 0.967, 0))),
            (1.0, above, above, (side, 0.0), (front, 0.0))]):

        def eps(*mixture):
            mean = sum(part * prior.pattern(text).double() for part, text in mixture)
            return (1 - a).sqrt() * (z_t[row] - a.sqrt() * mean) / (a * 0.01 + 1 - a)

        unconditional = eps((1, "ugly"))
        e = eps((share, wanted), (1 - share, other)) - unconditional
        total = e.clone()
        for text, weight_of in (first, second):
            n = eps((1, text)) - unconditional
            total += weight_of * (n - (n * e).sum() / (e * e).sum() * e)
        expected.append(2 * (unconditional + 7.5 * total - noise[row]) / 4)
    expected = torch.stack(expected).permute(0, 2, 3, 1)
    assert (rgb.grad.double() - expected).abs().max() < 1e-5 * expected.abs().max()


def test_interpolated_views_ask_the_prior_once():
    loss = prepared(SDS(PRIOR, Prompt("red", views=INTERPOLATED), Schedule.of(7.5)))
    loss(look_at(Rendering(rgb=torch.rand(4, 8, 8, 3)), turntable(4, 0, 3, 40, 8)))
    assert len(loss.prior.calls) == 1 and loss.prior.calls[0][0].shape == (4, 3, 8, 8)


def test_timesteps_stay_in_the_scheduled_range():
    loss = prepared(SDS(PRIOR, PROMPT, t_min=Schedule(((0, 0.3), (99, 0.02))), t_max=Schedule(((0, 0.98), (99, 0.4)))))
    for step, low, high in ((0, 300, 980), (99, 20, 400)):
        drawn = torch.cat([loss._timesteps(8, look_at(None, None, step, Streams(seed, step))) for seed in range(200)])
        assert drawn.min() >= low and drawn.max() <= high
        assert drawn.min() < low + 15 and drawn.max() > high - 15


def test_groups_of_views_share_a_timestep():
    loss = prepared(SDS(PRIOR, PROMPT))
    loss.prior.views = 4
    t = loss._timesteps(8, look_at(None))
    assert len(set(t[:4].tolist())) == 1 and len(set(t[4:].tolist())) == 1 and t[0] != t[4]


def test_weight_and_batch_scale_the_gradient():
    def gradient(batch, scale):
        loss = prepared(SDS(PRIOR, PROMPT, weight=Schedule.of(scale), t_min=Schedule.of(0.5), t_max=Schedule.of(0.5)))
        rgb = torch.full((batch, 8, 8, 3), 0.2, requires_grad=True)
        loss(look_at(Rendering(rgb=rgb), turntable(batch, 0, 3, 40, 8))).value.backward()
        return rgb.grad.mean().item()

    assert math.isclose(gradient(2, 3.0), 3 * gradient(2, 1.0), rel_tol=1e-5)
    assert 0.4 < gradient(8, 1.0) / gradient(4, 1.0) < 0.6  # summed over elements, divided by the batch


def test_crossed_timesteps_are_an_error():
    loss = prepared(SDS(PRIOR, PROMPT, t_min=Schedule.of(0.9), t_max=Schedule.of(0.1)))
    with pytest.raises(DistillError, match="t_max"):
        loss(look_at(Rendering(rgb=torch.rand(1, 8, 8, 3)), turntable(1, 0, 3, 40, 8)))


def test_node_chains_losses():
    first, = SDSLossNode.execute(PRIOR, PROMPT).args
    both, = SDSLossNode.execute(PRIOR, PROMPT, guidance=7.5, image="normal", losses=first).args
    assert len(first) == 1 and both[0] is first[0] and both[1].guidance.at(0, 1) == 7.5
    assert both[1].wanted == {"normal", "opacity"}
