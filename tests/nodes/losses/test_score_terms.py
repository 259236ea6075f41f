"""Score Terms Loss against formulas written out with the exact score of a Gaussian."""
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill3d.kernels.distill.terms import METHODS
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.loss import RunContext
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.core.prompt import INTERPOLATED, Prompt
from distill3d.nodes.core.rendering import Rendering
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.losses.prepared_terms import PreparedScoreTerms
from distill3d.nodes.losses.score_terms import ScoreTerms, ScoreTermsLossNode
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.sjc import SJC
from gaussian_prior import ABAR, GaussianPrior
from looks import look_at

PRIOR = GaussianPrior((("red", 0.6), ("ugly", -0.3), ("", -0.2), ("blue", 0.25)))
PROMPT = Prompt("red", "ugly", views="none")
S = 4.0
AT = Schedule.of(0.4)
CAMERAS = turntable(3, 0, 3, 40, 8)


class Start:
    """A scene as the stage began: pictures."""

    def __init__(self, rgb):
        self.rgb = rgb

    def render(self, cameras, light, wanted, **options):
        opacity = torch.ones_like(self.rgb[..., :1])
        return Rendering(rgb=self.rgb, opacity=opacity, background=torch.zeros_like(self.rgb))


def gradient(loss, step=5, start=None, seed=1, rgb=None):
    prepared = loss.prepare(RunContext(torch.device("cpu"), 0, LoadedPriors(torch.device("cpu"))))
    rgb = picture() if rgb is None else rgb
    rgb = rgb.clone().requires_grad_()
    rendering = Rendering(rgb=rgb, opacity=torch.ones(3, 8, 8, 1), depth=torch.full((3, 8, 8, 1), 3.0),
                          background=torch.zeros(3, 8, 8, 3))
    term = prepared(look_at(rendering, CAMERAS, step, Streams(seed, step), initial=lambda: Start(start)))
    term.value.backward()
    return rgb.grad, term, prepared


def picture(seed=0):
    return torch.rand(3, 8, 8, 3, generator=torch.Generator().manual_seed(seed))


def to_z(rgb):
    return rgb.permute(0, 3, 1, 2).double() * 2 - 1


def eps_of(z, noise, t, mean):
    a = ABAR.double()[t].view(-1, 1, 1, 1)
    z_t = a.sqrt() * z + (1 - a).sqrt() * noise
    return (1 - a).sqrt() * (z_t - a.sqrt() * mean) / (a * 0.01 + 1 - a)


def level(t):
    return ((1 - ABAR.double()[t]) / ABAR.double()[t]).sqrt()


def same(found, expected):
    """expected: of z [B,C,h,w], before the batch's 1 / B and the 2 of the pixels' range."""
    expected = (2 * expected / 3).permute(0, 2, 3, 1)
    assert (found.double() - expected).abs().max() < 1e-5 * max(1.0, expected.abs().max().item())


def drawn(step=5, seed=1):
    return torch.randn((3, 3, 8, 8), generator=Streams(seed, step)("noise")).double()


@pytest.mark.parametrize("views", ["none", "front/side/back/overhead"])
def test_sds_has_the_bytes_of_the_node(views):
    prompt = Prompt("red", "ugly", views=views)
    shared = dict(guidance=Schedule.of(S), t_min=Schedule.of(0.02), t_max=Schedule.of(0.98))
    for change in ({}, {"clamp": True}, {"rescaling": 0.5}, {"weight": Schedule.of(0.3)}):
        ours = gradient(ScoreTerms(PRIOR, prompt, "sds", **shared, **change))[0]
        assert torch.equal(ours, gradient(SDS(PRIOR, prompt, **shared, **change))[0])


def test_sjc_is_sds_with_uniform_weights():
    shared = dict(guidance=Schedule.of(S), t_min=AT, t_max=AT)
    ours = gradient(ScoreTerms(PRIOR, PROMPT, "sds", weighting="uniform", **shared))[0]
    torch.testing.assert_close(ours, gradient(SJC(PRIOR, PROMPT, **shared))[0])


def test_perp_negative_is_that_of_the_sds_node():
    prompt = Prompt("red", "ugly", views=INTERPOLATED)
    shared = dict(guidance=Schedule.of(S), t_min=AT, t_max=AT)
    torch.testing.assert_close(gradient(ScoreTerms(PRIOR, prompt, "sds", **shared))[0],
                               gradient(SDS(PRIOR, prompt, **shared))[0], rtol=1e-4, atol=1e-5)


def test_rows_at_one_noise_level_are_their_formulas():
    z, noise, t = to_z(picture()), drawn(), torch.full((3,), 400)
    text, negative, empty = (eps_of(z, noise, t, mean) for mean in (0.6, -0.3, -0.2))
    w = (1 - ABAR.double()[400])
    sigma = level(t).view(-1, 1, 1, 1)
    expected = {"csd": text - 0.75 * empty - 0.25 * negative, "nfsd": w * (S * text + (1 - S) * empty - negative),
                "rfds": (1 + sigma) * (S * text + (1 - S) * negative - noise)}
    for method, known in expected.items():
        same(gradient(ScoreTerms(PRIOR, PROMPT, method, guidance=Schedule.of(S), annealing=Schedule.of(0.25), t_min=AT,
                                 t_max=AT))[0], known)


def test_nfsd_leaves_the_negative_out_at_small_timesteps():
    low = Schedule.of(0.1)
    z, noise, t = to_z(picture()), drawn(), torch.full((3,), 100)
    text, empty = (eps_of(z, noise, t, mean) for mean in (0.6, -0.2))
    found, term, _ = gradient(ScoreTerms(PRIOR, PROMPT, "nfsd", guidance=Schedule.of(S), t_min=low, t_max=low))
    same(found, (1 - ABAR.double()[100]) * (S * text + (1 - S) * empty))


def test_dds_subtracts_the_gradient_of_the_start():
    start = picture(7)
    loss = ScoreTerms(PRIOR, PROMPT, "dds", guidance=Schedule.of(S), t_min=AT, t_max=AT,
                      source=Prompt("blue", "ugly", views="none"))
    z, source, noise, t = to_z(picture()), to_z(start), drawn(), torch.full((3,), 400)
    guide = lambda z, mean: S * eps_of(z, noise, t, mean) + (1 - S) * eps_of(z, noise, t, -0.3)  # noqa: E731
    same(gradient(loss, start=start)[0], (1 - ABAR.double()[400]) * (guide(z, 0.6) - guide(source, 0.25)))
    unchanged = replace(loss, source=PROMPT)
    assert float(gradient(unchanged, start=picture())[0].abs().max()) == 0.0


def test_asd_subtracts_the_prediction_at_a_larger_timestep():
    z, noise = to_z(picture()), drawn()
    t, share = torch.full((3,), 400), torch.rand(3, generator=Streams(1, 5)("interval"))
    above = t + (0.5 * 380 * share).long().clamp_min(1)
    found = gradient(ScoreTerms(PRIOR, PROMPT, "asd", guidance=Schedule.of(S), interval=Schedule.of(0.5),
                                t_min=Schedule.of(0.02), t_max=AT), rgb=picture())
    loss = ScoreTerms(PRIOR, PROMPT, "asd", guidance=Schedule.of(S), interval=Schedule.of(0.5), t_min=AT, t_max=AT)
    near = gradient(loss)[0]  # t_min = t: one step up
    text, negative = (eps_of(z, noise, t, mean) for mean in (0.6, -0.3))
    w = 1 - ABAR.double()[400]
    same(near, w * (S * text + (1 - S) * negative - eps_of(z, noise, t + 1, 0.6)))
    assert above.max() > 401 and not torch.allclose(near, found[0])


def ladder(z, to, steps, ask, eta=0.0, noises=()):
    """DDIM inversion written out in terms of eps, in float64: x at timestep `to`."""
    at = [to * number // steps for number in range(steps + 1)]
    x = z
    for number, (low, high) in enumerate(zip(at, at[1:])):
        low_level, high_level = (float(level(torch.tensor(t))) for t in (low, high))
        eps = ask(x, low, low_level)
        fresh = eta * (high_level**2 - low_level**2) ** 0.5
        x = x - low_level * eps + (high_level**2 - fresh**2) ** 0.5 * eps + (fresh * noises[number] if eta else 0.0)
    return x


def eps_at(x, sigma, mean):
    return sigma * (x - mean) / (0.01 + sigma**2)


def test_ism_follows_the_inversion():
    loss = ScoreTerms(PRIOR, PROMPT, "ism", guidance=Schedule.of(S), t_min=AT, t_max=AT, steps=4)
    z = to_z(picture())
    x_low = ladder(z, 300, 4, lambda x, t, sigma: eps_at(x, sigma, -0.2))
    low, high = (float(level(torch.tensor(t))) for t in (300, 400))
    below = eps_at(x_low, low, -0.2)
    x = x_low + (high - low) * below
    known = S * eps_at(x, high, 0.6) + (1 - S) * eps_at(x, high, -0.2) - below
    found, term, _ = gradient(loss)
    same(found, high * known)
    assert term.log["predictions"] == 7  # 4 of the inversion, one below, two above


def test_ism_without_an_interval_is_csd():
    """As the interval goes to 0, the sum becomes s (text - empty) at the inversion's own noise."""
    loss = ScoreTerms(PRIOR, PROMPT, "ism", guidance=Schedule.of(S), t_min=AT, t_max=AT, steps=4,
                      interval=Schedule.of(0.0))
    csd = replace(loss, method="csd", formula="s text - s empty @nearby", weighting="x0", found="DDIM inversion")
    torch.testing.assert_close(gradient(loss)[0], gradient(csd)[0], rtol=0.05, atol=0.05)


def test_sdi_is_sds_at_the_noise_that_inversion_finds():
    loss = ScoreTerms(PRIOR, PROMPT, "sdi", guidance=Schedule.of(S), t_min=AT, t_max=AT, steps=5,
                      inversion_guidance=-2.0)
    streams = Streams(1, 5)
    to = 400 + int(float(torch.rand((), generator=streams("interval"))) * 1000 / 5)
    noises = [torch.randn((3, 3, 8, 8), generator=streams("inversion")).double() for _ in range(5)]
    z, sigma = to_z(picture()), float(level(torch.tensor(400)))
    x = ladder(z, to, 5, lambda x, t, level: -2 * eps_at(x, level, 0.6) + 3 * eps_at(x, level, -0.3), 0.3, noises)
    noise = (x - z) / float(level(torch.tensor(to)))
    at = z + sigma * noise
    known = S * eps_at(at, sigma, 0.6) + (1 - S) * eps_at(at, sigma, -0.3) - noise
    same(gradient(loss)[0], sigma * known)


def test_rfds_rev_is_rfds_at_the_predicted_noise():
    loss = ScoreTerms(PRIOR, PROMPT, "rfds-rev", guidance=Schedule.of(S), t_min=AT, t_max=AT)
    z, t = to_z(picture()), torch.full((3,), 400)
    sigma = float(level(torch.tensor(400)))
    s = sigma / (1 + sigma)
    x = z + sigma * drawn()
    velocity = ((x * (1 - s)) - (x - sigma * eps_at(x, sigma, 0.6))) / s  # v_hat of x_s = (1 - s) x
    noise = drawn() + (1 - s) * (velocity + z - drawn())  # as published
    torch.testing.assert_close(noise, eps_at(x, sigma, 0.6))
    known = S * eps_of(z, noise, t, 0.6) + (1 - S) * eps_of(z, noise, t, -0.3) - noise
    same(gradient(loss)[0], (1 + sigma) * known)


def test_hifa_adds_the_difference_of_pixels():
    plain = dict(guidance=Schedule.of(S), t_min=AT, t_max=AT)
    latents = gradient(ScoreTerms(PRIOR, PROMPT, "sds", **plain))[0]
    both = gradient(ScoreTerms(PRIOR, PROMPT, "hifa", pixels=Schedule.of(0.5), **plain))[0]
    # The pixels of this prior are z / 2 + 1/2, so that the term is a quarter of the other, times its weight.
    torch.testing.assert_close(both, (1 + 0.5 / 4) * latents, rtol=1e-4, atol=1e-5)


def test_the_jacobian_is_that_of_the_training_loss():
    """d/dz of 1/2 w |eps_hat - noise|^2: the SDS gradient times d eps_hat / dz, which is sigma / (d^2 + sigma^2)."""
    plain = dict(guidance=Schedule.of(S), t_min=AT, t_max=AT)
    sds = gradient(ScoreTerms(PRIOR, PROMPT, "sds", **plain))[0]
    sigma = float(level(torch.tensor(400)))
    torch.testing.assert_close(gradient(ScoreTerms(PRIOR, PROMPT, "sds", jacobian=True, **plain))[0],
                               sds * sigma / (0.01 + sigma**2), rtol=1e-3, atol=1e-5)


def test_a_formula_of_ones_own():
    loss = ScoreTerms(PRIOR, PROMPT, formula='text - 0.5 "blue" - (1 - 0.5) * a empty', weighting="uniform", t_min=AT,
                      t_max=AT, annealing=Schedule.of(0.5))
    z, noise, t = to_z(picture()), drawn(), torch.full((3,), 400)
    red, blue, empty = (eps_of(z, noise, t, mean) for mean in (0.6, 0.25, -0.2))
    same(gradient(loss)[0], red - 0.5 * blue - 0.25 * empty)


def test_what_cannot_be_read_is_named():
    with pytest.raises(DistillError, match="^Score Terms Loss.*txt"):
        ScoreTerms(PRIOR, PROMPT, formula="s txt - noise")
    with pytest.raises(DistillError, match="^Score Terms Loss.*source"):
        ScoreTerms(PRIOR, PROMPT, "dds")
    with pytest.raises(DistillError, match="HiFA"):
        ScoreTerms(PRIOR, PROMPT, "hifa", image="normal")


@pytest.mark.parametrize("method", METHODS)
def test_the_node_fills_every_method(method):
    loss, = ScoreTermsLossNode.execute(PRIOR, PROMPT, method=method, source=PROMPT).args[0]
    found, term, _ = gradient(loss, start=picture(3))
    assert torch.isfinite(found).all() and float(found.abs().max()) > 0


def test_same_seed_same_bytes():
    loss = ScoreTerms(PRIOR, PROMPT, "sdi")
    assert isinstance(gradient(loss)[2], PreparedScoreTerms)
    assert torch.equal(gradient(loss)[0], gradient(loss)[0])


def test_the_page_of_the_table_shows_every_row():
    page = (Path(__file__).parents[3] / "docs" / "score_terms.md").read_text(encoding="utf-8")
    for name, method in METHODS.items():
        line = next(line for line in page.splitlines() if line.startswith(f"| {name} |"))
        noise = {"fresh": "fresh", "predicted": "predicted", "DDIM inversion": "DDIM inversion"}[method.noise]
        assert f"`{method.formula}`" in line and f"| {method.weighting} | {noise} |" in line
