"""Rows of the table against closed form: a prior whose data is one Gaussian for each condition, so that its score is
known."""
import pytest
import torch

from distill3d.kernels.distill.guidance import guide
from distill3d.kernels.distill.inversion import ddim_step
from distill3d.kernels.distill.sds import sds_gradient
from distill3d.kernels.distill.sjc import sjc_gradient
from distill3d.kernels.distill.terms import (
    EMPTY,
    HERE,
    METHODS,
    NEARBY,
    NEGATIVE,
    NOISE,
    SOURCE,
    TEXT,
    Place,
    Prediction,
    score_gradient,
    terms,
)
from distill3d.kernels.distill.vsd import vsd_gradient
from distill3d.kernels.distill.weighting import weight

MEANS = {TEXT: 0.7, NEGATIVE: -0.4, EMPTY: 0.1}
SPREAD = 0.6
S, A = 7.5, 0.25
SHAPE = (5, 2, 3, 3)


def denoise(x, sigma, condition):
    """The ideal z0 of data N(MEANS[condition], SPREAD^2)."""
    keep = SPREAD**2 / (SPREAD**2 + sigma.reshape(-1, 1, 1, 1) ** 2)
    return MEANS[condition] + keep * (x - MEANS[condition])


def mean_eps(z, sigma, condition):
    """The expectation over noise of its eps: sigma (z - mean) / (SPREAD^2 + sigma^2)."""
    sigma = sigma.reshape(-1, 1, 1, 1)
    return sigma * (z - MEANS[condition]) / (SPREAD**2 + sigma**2)


class Batch:
    def __init__(self, dtype=torch.float64, seed=0):
        generator = torch.Generator().manual_seed(seed)
        draw = lambda: torch.randn(SHAPE, generator=generator, dtype=torch.float64).to(dtype)  # noqa: E731
        self.z, self.source, self.noise = draw(), draw(), draw()
        self.sigma = torch.tensor([0.1, 0.3, 1.0, 4.0, 14.0], dtype=dtype)
        self.nearby = torch.tensor([0.12, 0.2, 1.5, 3.0, 12.0], dtype=dtype)
        self.t = torch.tensor([0.05, 0.19, 0.5, 0.8, 0.98], dtype=dtype)
        self.weight = weight(self.sigma, "uniform")

    def gradient(self, method, noise, guidance=S, annealing=A):
        column = lambda v: v.reshape(-1, 1, 1, 1)  # noqa: E731
        places = {HERE: Place(self.z + column(self.sigma) * noise, self.sigma),
                  NEARBY: Place(self.z + column(self.nearby) * noise, self.nearby),
                  SOURCE: Place(self.source + column(self.sigma) * noise, self.sigma)}
        row = terms(method, guidance, self.t, annealing)
        clean = {HERE: self.z, SOURCE: self.source}
        answers = {key: clean[key.place]
                   if key.condition == NOISE else denoise(places[key.place].x, places[key.place].sigma, key.condition)
                   for key in row}
        return score_gradient(row, answers, places, self.weight)

    def expected(self, method):
        """The formulas of the module's table, with the expectation of each eps; the noise's is 0."""
        here = {c: mean_eps(self.z, self.sigma, c) for c in MEANS}
        nearby = {c: mean_eps(self.z, self.nearby, c) for c in MEANS}
        source = {c: mean_eps(self.source, self.sigma, c) for c in MEANS}
        late = (self.t >= 0.2).to(self.z).reshape(-1, 1, 1, 1)
        return {
            "sds": S * here[TEXT] + (1 - S) * here[NEGATIVE], "sdi": S * here[TEXT] + (1 - S) * here[NEGATIVE],
            "csd": here[TEXT] - (1 - A) * here[EMPTY] - A * here[NEGATIVE],
            "nfsd": S * (here[TEXT] - here[EMPTY]) + here[EMPTY] - late * here[NEGATIVE],
            "dds": S * here[TEXT] + (1 - S) * here[NEGATIVE] - S * source[TEXT] - (1 - S) * source[NEGATIVE],
            "asd": S * here[TEXT] + (1 - S) * here[NEGATIVE] - nearby[TEXT],
            "ism": S * here[TEXT] + (1 - S) * here[EMPTY] - nearby[EMPTY],
            "hifa": S * here[TEXT] + (1 - S) * here[NEGATIVE], "rfds": S * here[TEXT] + (1 - S) * here[NEGATIVE],
            "rfds-rev": S * here[TEXT] + (1 - S) * here[NEGATIVE]}[method]


@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("method", METHODS)
def test_the_expected_gradient_is_the_formula(method, dtype, tolerance):
    """The denoiser is linear, so noise and its negative have the exact expectation as their mean."""
    batch = Batch(dtype)
    mean = (batch.gradient(method, batch.noise) + batch.gradient(method, -batch.noise)) / 2
    known = batch.expected(method)
    assert float((mean - known).abs().max() / known.abs().max()) < tolerance


def test_sds_is_the_kernel_of_sds():
    batch = Batch()
    x = batch.z + batch.sigma.reshape(-1, 1, 1, 1) * batch.noise
    z0 = guide(denoise(x, batch.sigma, NEGATIVE), denoise(x, batch.sigma, TEXT), S)
    torch.testing.assert_close(batch.gradient("sds", batch.noise), sds_gradient(batch.z, z0, batch.sigma, "uniform"))
    torch.testing.assert_close(batch.gradient("sds", batch.noise), sjc_gradient(batch.z, z0, batch.noise, batch.sigma))


def test_csd_and_the_residual_of_noise_are_sds():
    """eps_text - noise = (eps_text - eps_empty) + (eps_empty - noise), times the guidance scale where it stands."""
    batch = Batch()
    MEANS_NEGATIVE = MEANS[NEGATIVE]
    MEANS[NEGATIVE] = MEANS[EMPTY]  # SDS with the empty text as its negative one
    try:
        x = batch.z + batch.sigma.reshape(-1, 1, 1, 1) * batch.noise
        residual = (x - denoise(x, batch.sigma, EMPTY)) / batch.sigma.reshape(-1, 1, 1, 1) - batch.noise
        torch.testing.assert_close(S * batch.gradient("csd", batch.noise, annealing=0.0) + residual,
                                   batch.gradient("sds", batch.noise))
    finally:
        MEANS[NEGATIVE] = MEANS_NEGATIVE


def test_dds_of_a_picture_with_itself_is_zero():
    batch = Batch()
    batch.source = batch.z
    assert float(batch.gradient("dds", batch.noise).abs().max()) < 1e-12


@pytest.mark.parametrize("method, rest", [("ism", EMPTY), ("asd", TEXT)])
def test_an_interval_of_zero_leaves_the_difference_of_texts(method, rest):
    """At delta 0 ISM is s (text - empty), the classifier alone, and ASD is (s - 1) (text - negative)."""
    batch = Batch()
    batch.nearby = batch.sigma
    x = batch.z + batch.sigma.reshape(-1, 1, 1, 1) * batch.noise
    eps = {c: (x - denoise(x, batch.sigma, c)) / batch.sigma.reshape(-1, 1, 1, 1) for c in MEANS}
    known = S * (eps[TEXT] - eps[EMPTY]) if method == "ism" else (S - 1) * (eps[TEXT] - eps[NEGATIVE])
    torch.testing.assert_close(batch.gradient(method, batch.noise), known)


def test_rfds_is_sds_with_weight_one_plus_sigma():
    """The flow form v_hat - (noise - z) at x_s = (1 - s) z + s noise, sigma = s / (1 - s)."""
    batch = Batch()
    sigma = batch.sigma.reshape(-1, 1, 1, 1)
    s = sigma / (1 + sigma)
    x = batch.z + sigma * batch.noise
    z0 = guide(denoise(x, batch.sigma, NEGATIVE), denoise(x, batch.sigma, TEXT), S)
    velocity = ((1 - s) * x - z0) / s  # of x_s = (1 - s) x
    batch.weight = 1 + batch.sigma
    torch.testing.assert_close(batch.gradient("sds", batch.noise), velocity - (batch.noise - batch.z))


def test_vsd_with_an_overfitted_second_model_is_sds():
    """A second model that knows exactly what is rendered answers with it."""
    batch = Batch()
    x = batch.z + batch.sigma.reshape(-1, 1, 1, 1) * batch.noise
    z0 = guide(denoise(x, batch.sigma, NEGATIVE), denoise(x, batch.sigma, TEXT), S)
    torch.testing.assert_close(vsd_gradient(z0, batch.z, batch.sigma, "uniform"), batch.gradient("sds", batch.noise))


def test_the_two_parts_of_the_derivation_of_sds():
    """(A) the entropy's part -noise has mean 0; (B) eps_hat has the same mean as SDS and a larger variance with the
    published sign, and the best control variate has the smallest."""
    batch = Batch()
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(4000, *SHAPE, generator=generator, dtype=torch.float64)
    sigma = batch.sigma.reshape(-1, 1, 1, 1)
    x = batch.z + sigma * noise
    keep = SPREAD**2 / (SPREAD**2 + sigma**2)
    eps = (x - MEANS[TEXT] - keep * (x - MEANS[TEXT])) / sigma
    with_baseline = eps - noise
    centred = noise - noise.mean(0)
    best = eps - (eps * centred).mean(0) / centred.square().mean(0) * noise  # the coefficient of least variance
    assert float(noise.mean(0).abs().max()) < 5 / 4000**0.5
    torch.testing.assert_close(eps.mean(0), mean_eps(batch.z, batch.sigma, TEXT), atol=0.09, rtol=0)
    torch.testing.assert_close(with_baseline.mean(0), mean_eps(batch.z, batch.sigma, TEXT), atol=0.09, rtol=0)
    assert (best.var(0) <= with_baseline.var(0) + 1e-9).all() and (best.var(0) <= eps.var(0) + 1e-9).all()
    # Where the model cannot tell noise from data (high levels) the baseline wins, at low ones it adds noise.
    assert (with_baseline.var(0)[-1] < eps.var(0)[-1]).all() and (with_baseline.var(0)[0] > eps.var(0)[0]).all()


def test_ism_goes_along_the_inversion():
    """With both places on one path of DDIM by the empty text, the difference over a small interval is its change of
    eps."""
    batch = Batch()
    low, high = 0.5, 0.5001
    column = torch.full((5,), low, dtype=torch.float64)
    x = batch.z + low * batch.noise
    up = ddim_step(x, denoise(x, column, EMPTY), low, high)
    places = {HERE: Place(up, torch.full((5,), high, dtype=torch.float64)), NEARBY: Place(x, column)}
    row = terms("ism", 1.0, batch.t)
    answers = {key: denoise(places[key.place].x, places[key.place].sigma, key.condition) for key in row}
    gradient = score_gradient(row, answers, places, batch.weight)
    eps = lambda place, c: (place.x - denoise(place.x, place.sigma, c)) / place.sigma.reshape(-1, 1, 1, 1)  # noqa: E731
    torch.testing.assert_close(gradient, eps(places[HERE], TEXT) - eps(places[NEARBY], EMPTY))


def test_terms_with_coefficient_zero_are_not_computed():
    t = torch.tensor([0.5])
    assert set(terms("sds", 1.0, t)) == {Prediction(TEXT), Prediction(NOISE)}
    assert set(terms("csd", 1.0, t, 0.0)) == {Prediction(TEXT), Prediction(EMPTY)}
    assert set(terms("csd", 1.0, t, 1.0)) == {Prediction(TEXT), Prediction(NEGATIVE)}


def test_low_noise_loses_no_digits():
    batch = Batch(torch.float32)
    batch.sigma = torch.full((5,), 1e-3)
    double = Batch()
    double.sigma = torch.full((5,), 1e-3, dtype=torch.float64)
    known = double.gradient("sds", double.noise)
    assert float((batch.gradient("sds", batch.noise) - known).abs().max() / known.abs().max()) < 1e-3


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="fsd"):
        terms("fsd", 1.0, torch.tensor([0.5]))


def test_the_sum_is_differentiable_in_the_predictions():
    """For the loss that keeps the derivative of the model (gradcheck)."""
    batch = Batch()
    x = batch.z + batch.sigma.reshape(-1, 1, 1, 1) * batch.noise
    places = {HERE: Place(x[:2], batch.sigma[:2])}
    row = terms("sds", S, batch.t[:2])

    def total(text, negative):
        answers = {Prediction(TEXT): text, Prediction(NEGATIVE): negative, Prediction(NOISE): batch.z[:2]}
        return score_gradient(row, answers, places, batch.weight[:2])

    inputs = [torch.randn(2, *SHAPE[1:], dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(total, inputs)
