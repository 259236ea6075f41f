import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.sjc import SJC, SJCLossNode
from gaussian_prior import ABAR, GaussianPrior
from looks import look_at

PROMPT = Prompt("red", views="none")
PRIOR = GaussianPrior((("red", 0.6), ("", -0.2)))
SAME = dict(guidance=Schedule.of(4.0), t_min=Schedule.of(0.03), t_max=Schedule.of(0.99))


def gradient(loss, seed=1):
    prepared = loss.prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))
    rgb = torch.rand(3, 8, 8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    prepared(look_at(Rendering(rgb=rgb), turntable(3, 0, 3, 40, 8), 5, Streams(seed, 5))).value.backward()
    return rgb.grad


@pytest.mark.parametrize("views", ["none", INTERPOLATED])
def test_with_variance_reduction_it_is_sds_with_uniform_weights(views):
    prompt = Prompt("red", views=views)
    torch.testing.assert_close(gradient(SJC(PRIOR, prompt, **SAME)),
                               gradient(SDS(PRIOR, prompt, weighting="uniform", **SAME)))


def test_without_it_the_gradient_is_the_guided_noise():
    found = gradient(SJC(PRIOR, PROMPT, variance_reduction=False, **SAME))
    streams = Streams(1, 5)
    t = torch.randint(30, 991, (3,), generator=streams("timestep"))
    noise = torch.randn((3, 3, 8, 8), generator=streams("noise")).double()
    a = ABAR.double()[t].view(-1, 1, 1, 1)
    z = torch.rand(3, 8, 8, 3, generator=torch.Generator().manual_seed(0)).permute(0, 3, 1, 2).double() * 2 - 1
    z_t = a.sqrt() * z + (1 - a).sqrt() * noise

    def eps(mean):
        return (1 - a).sqrt() * (z_t - a.sqrt() * mean) / (a * 0.01 + 1 - a)

    expected = (2 * (eps(-0.2) + 4.0 * (eps(0.6) - eps(-0.2))) / 3).permute(0, 2, 3, 1)
    assert (found.double() - expected).abs().max() < 1e-5 * expected.abs().max()


def test_the_weight_scales():
    assert torch.allclose(gradient(SJC(PRIOR, PROMPT, weight=Schedule.of(3.0), **SAME)),
                          3 * gradient(SJC(PRIOR, PROMPT, **SAME)))


def test_errors_name_this_loss():
    with pytest.raises(DistillError, match="^SJC Loss.*t_max"):
        gradient(SJC(PRIOR, PROMPT, t_min=Schedule.of(0.9), t_max=Schedule.of(0.1)))
    with pytest.raises(DistillError, match="^SJC Loss.*Normal-Depth Prior"):
        SJC(PRIOR, PROMPT, image="normal and depth")


def test_node_chains_losses_and_begins_with_the_published_numbers():
    first, = SJCLossNode.execute(PRIOR, PROMPT).args
    both, = SJCLossNode.execute(PRIOR, PROMPT, guidance=7.5, image="normal", losses=first).args
    assert first == (SJC(PRIOR, PROMPT),) and both[0] is first[0] and both[1].guidance.at(0, 1) == 7.5
    assert both[1].wanted == {"normal", "opacity"}
