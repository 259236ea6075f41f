"""Score Terms Loss with a flow model: RFDS written out with velocities."""
from dataclasses import dataclass

import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.score_terms import ScoreTerms
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.models.noise import shifted_flow
from gaussian_prior import GaussianPrior, LoadedGaussian
from looks import look_at

MEANS = (("red", 0.6), ("ugly", -0.3))
NOISE = shifted_flow(3.0)  # as SD3


@dataclass(frozen=True)
class FlowPrior(GaussianPrior):
    def load(self, priors):
        return LoadedFlow(self, priors.device)


class LoadedFlow(LoadedGaussian):
    """The Gaussian along the straight paths of rectified flow; predicts the velocity, as a transformer would."""

    def sigma(self, t):
        return NOISE.sigma(t)

    def add_noise(self, z, noise, t):
        return NOISE.add_noise(z, noise, t)

    def denoise(self, z_t, t, conditions, cameras, beside=None):
        return [NOISE.clean(z_t, t, velocity(z_t, NOISE.s[t].view(-1, 1, 1, 1), self.mean_of(c)), "flow")
                for c in conditions]


def velocity(x, s, mean):
    """E[noise - z | x] for x = (1 - s) z + s noise, z ~ N(mean, 0.1^2)."""
    spread = (1 - s) ** 2 * 0.01 + s**2
    centred = x - (1 - s) * mean
    return s * centred / spread - (mean + (1 - s) * 0.01 * centred / spread)


def gradient(loss):
    prepared = loss.prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))
    rgb = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rendering = Rendering(rgb=rgb, opacity=torch.ones(2, 8, 8, 1))
    prepared(look_at(rendering, turntable(2, 0, 3, 40, 8), 5, Streams(1, 5))).value.backward()
    return rgb.grad.permute(0, 3, 1, 2), rgb.detach().permute(0, 3, 1, 2).double() * 2 - 1


@pytest.mark.parametrize("method", ["rfds", "rfds-rev"])
@pytest.mark.parametrize("at", [0.05, 0.5, 0.95])
def test_rfds_is_the_difference_of_velocities(method, at):
    where = Schedule.of(at)
    loss = ScoreTerms(FlowPrior(MEANS), Prompt("red", "ugly", views="none"), method, guidance=Schedule.of(5.0),
                      t_min=where, t_max=where)
    found, z = gradient(loss)
    s = NOISE.s.double()[int(at * 1000)]
    noise = torch.randn((2, 3, 8, 8), generator=Streams(1, 5)("noise")).double()
    if method == "rfds-rev":  # the reversal: noise + (1 - s) (v_hat + z - noise)
        noise = noise + (1 - s) * (velocity((1 - s) * z + s * noise, s, 0.6) + z - noise)
    x = (1 - s) * z + s * noise
    v = velocity(x, s, -0.3) + 5 * (velocity(x, s, 0.6) - velocity(x, s, -0.3))
    known = v - (noise - z)
    assert (found.double() - known).abs().max() < 1e-4 * known.abs().max()  # two views, and two for the pixels' range


def test_timesteps_follow_the_models_own_shift():
    """Timesteps are drawn evenly; their noise levels are the model's: with shift 3, the middle one has s = 0.75."""
    assert float(NOISE.s[500]) == pytest.approx(0.75, abs=0.001)
    s = NOISE.s[torch.arange(20, 981)]
    assert float((s > 0.75).float().mean()) == pytest.approx(0.5, abs=0.01)


def test_the_sds_node_with_the_weighting_flow_is_the_same():
    shared = dict(guidance=Schedule.of(5.0))
    prior, prompt = FlowPrior(MEANS), Prompt("red", "ugly", views="none")
    assert torch.equal(gradient(ScoreTerms(prior, prompt, "rfds", **shared))[0],
                       gradient(SDS(prior, prompt, weighting="flow", **shared))[0])
