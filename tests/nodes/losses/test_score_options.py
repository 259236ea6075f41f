"""The options of all score losses, tried in SDS: what they change is the same for every one of them."""
import pytest
import torch

from distill3d.kernels.distill.guidance import limit, threshold
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.score_options import ScoreOptions
from distill3d.nodes.losses.score_terms import ScoreTerms
from distill3d.nodes.losses.sds import SDS, SDSLossNode
from distill3d.nodes.losses.sjc import SJCLossNode
from gaussian_prior import GaussianPrior
from looks import look_at

PRIOR, PROMPT = GaussianPrior((("red", 0.6), ("", -0.2))), Prompt("red", views="none")
CAMERAS = turntable(2, 0, 3, 40, 8)


def prepared(kind=SDS, **options):
    loss = kind(PRIOR, PROMPT, guidance=Schedule.of(4.0), options=ScoreOptions.of(**options))
    return loss.prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))


def gradient(step=5, kind=SDS, **options):
    """With respect to z, as the prior sees it: that of the pixels, times 2 views, halved by the pixels' range."""
    rgb = torch.rand(2, 8, 8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    rendering = Rendering(rgb=rgb, opacity=torch.ones(2, 8, 8, 1), depth=torch.full((2, 8, 8, 1), 3.0))
    term = prepared(kind, **options)(look_at(rendering, CAMERAS, step, Streams(1, step)))
    term.value.backward()
    return rgb.grad.permute(0, 3, 1, 2), term


@pytest.mark.parametrize("kind", [SDS, ScoreTerms])
def test_a_limit_of_values_is_a_schedule(kind):
    plain, _ = gradient(0, kind)
    rising = Schedule(((0, 0.2), (10, 1000.0)))
    limited, _ = gradient(0, kind, clamp_value=rising)
    assert float(plain.abs().max()) > 0.2
    torch.testing.assert_close(limited, plain.clamp(-0.2, 0.2))
    assert torch.equal(gradient(10, kind, clamp_value=rising)[0], gradient(10, kind)[0])


def test_a_limit_of_the_norm_keeps_the_direction():
    plain, _ = gradient()
    limited, _ = gradient(clamp_norm=0.1)
    rms = limited.flatten(1).square().mean(1).sqrt()
    assert (rms <= 0.1 + 1e-6).all() and float(rms.max()) > 0.099
    cosine = torch.nn.functional.cosine_similarity(plain.flatten(1), limited.flatten(1))
    torch.testing.assert_close(cosine, torch.ones(2))


def test_a_gradient_below_the_limits_is_unchanged():
    small = torch.randn(2, 3, 4, 4) * 0.01
    assert torch.equal(limit(small, 1.0, 1.0), small) and torch.equal(limit(small), small)


def test_dynamic_thresholding_is_imagens():
    z0 = torch.linspace(-3, 3, 200).view(1, 1, 10, 20)
    found = threshold(z0, 0.9)
    largest = torch.quantile(z0.abs().flatten(), 0.9)
    torch.testing.assert_close(found, z0.clamp(-largest, largest) / largest)
    inside = z0 / 4
    torch.testing.assert_close(threshold(inside, 0.995), inside)  # not below 1
    assert not torch.equal(gradient(threshold=0.5)[0], gradient()[0])
    assert torch.equal(gradient(threshold=0.5)[0], gradient(kind=ScoreTerms, threshold=0.5)[0])


def test_dreamtime_falls_and_is_shared_by_all_views():
    steps = [gradient(step, timesteps="DreamTime")[1].log["timestep"].item() for step in (0, 30, 60, 99)]
    assert steps[0] == 980 and steps == sorted(steps, reverse=True) and steps[-1] < 200


def test_noise_on_the_object_asks_for_depth():
    assert "depth" in SDS(PRIOR, PROMPT, options=ScoreOptions.of(noise="on the object")).wanted
    assert "depth" not in SDS(PRIOR, PROMPT).wanted
    found, _ = gradient(noise="on the object")
    assert torch.isfinite(found).all() and not torch.equal(found, gradient()[0])


def test_nodes_pass_them_on():
    for node in (SDSLossNode, SJCLossNode):
        loss, = node.execute(PRIOR, PROMPT, noise="kept", clamp_norm=2.0).args[0]
        assert loss.options == ScoreOptions.of(noise="kept", clamp_norm=2.0)
        assert node.execute(PRIOR, PROMPT).args[0][0].options == ScoreOptions()
