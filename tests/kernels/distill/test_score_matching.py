"""Score matching against known scores: formulas, their identities, and a small network that is fitted by each."""
import pytest
import torch
from torch import nn

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.distill.score_matching import (
    denoising_score_matching,
    explicit_score_matching,
    fisher_divergence,
    mixture_score,
    sliced_score_matching,
)
from distill3d.kernels.distill.vsd import denoising_error

MEANS = torch.tensor([[-1.0, -0.6], [1.0, -0.4], [0.0, 1.0]], dtype=torch.float64)
DEVIATIONS = torch.tensor([0.5, 0.4, 0.6], dtype=torch.float64)
WEIGHTS = torch.tensor([0.4, 0.3, 0.3], dtype=torch.float64)


def draw(count, generator):
    which = torch.multinomial(WEIGHTS, count, replacement=True, generator=generator)
    noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return MEANS[which] + DEVIATIONS[which, None] * noise


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 2)).double()


def signs(count, x, generator):
    return torch.randint(0, 2, (count, *x.shape), generator=generator).to(x) * 2 - 1


def test_mixture_score_is_the_derivative_of_the_log_density():
    x = torch.randn(7, 2, dtype=torch.float64, requires_grad=True)
    for sigma in (0.0, 0.3, torch.linspace(0.1, 2.0, 7, dtype=torch.float64)):
        variance = DEVIATIONS**2 + torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, 1) ** 2
        normal = (-0.5 * (x[:, None] - MEANS).square().sum(2) / variance).exp() / (2 * torch.pi * variance)
        known, = torch.autograd.grad((WEIGHTS * normal).sum(1).log().sum(), x)
        torch.testing.assert_close(mixture_score(x, MEANS, DEVIATIONS, WEIGHTS, sigma), known, atol=1e-12, rtol=0)


def test_explicit_against_a_linear_score():
    """s = A x + b: trace A plus half the squared norm."""
    a, b = torch.randn(4, 4, dtype=torch.float64), torch.randn(4, dtype=torch.float64)
    x = torch.randn(9, 4, dtype=torch.float64)
    value = explicit_score_matching(lambda x: x @ a.T + b, x)
    torch.testing.assert_close(value, a.trace() + 0.5 * (x @ a.T + b).square().sum(1).mean(), atol=1e-12, rtol=0)


def test_sliced_is_explicit_in_expectation():
    """Random signs: over all 2^D of them the mean is exact."""
    net, x = network(), torch.randn(5, 2, dtype=torch.float64)
    every = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64)[:, None].expand(-1, 5, -1)
    explicit = explicit_score_matching(net, x)
    for has_exact_norm in (True, False):
        torch.testing.assert_close(sliced_score_matching(net, x, every, has_exact_norm), explicit, atol=1e-12, rtol=0)


def test_explicit_is_the_fisher_divergence_but_for_a_constant():
    """Integration by parts (Hyvarinen 2005): the difference does not depend on the score. For a Gaussian and linear
    scores every expectation is a sum over the points of a quadrature of degree 3, so the identity holds to rounding."""
    nodes = torch.tensor([-(3.0**0.5), 0.0, 3.0**0.5], dtype=torch.float64)
    weights = torch.tensor([1 / 6, 2 / 3, 1 / 6], dtype=torch.float64)
    grid = torch.cartesian_prod(nodes, nodes)
    mass = torch.cartesian_prod(weights, weights).prod(1)
    gaps = []
    for _ in range(3):
        a, b = torch.randn(2, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
        score = lambda x: x @ a.T + b  # noqa: E731, B023
        explicit = sum(m * explicit_score_matching(score, x[None]) for x, m in zip(grid, mass))
        fisher = sum(m * fisher_divergence(score(x[None]), -x[None]) for x, m in zip(grid, mass))
        gaps.append(float((explicit - fisher).detach()))
    assert max(gaps) - min(gaps) < 1e-10 and gaps[0] == pytest.approx(-1.0, abs=1e-10)  # -1/2 E|x|^2 in the plane


def test_denoising_is_half_of_the_simple_objective():
    x, noise = torch.randn(6, 2, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
    sigma = torch.linspace(0.1, 3.0, 6, dtype=torch.float64)
    eps_hat = torch.randn(6, 2, dtype=torch.float64)
    value = denoising_score_matching(-eps_hat / sigma[:, None], noise, sigma)
    image = lambda v: v[:, :, None, None]  # noqa: E731
    simple = denoising_error(image(x), image(x + sigma[:, None] * (noise - eps_hat)), sigma, "epsilon")
    # that one is a mean over the 2 elements too
    torch.testing.assert_close(value, 0.5 * 2 * simple, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", ["explicit", "sliced", "denoising"])
def test_gradients(kind):
    x, noise = torch.randn(3, 2, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    directions, sigma = torch.randn(2, 3, 2, dtype=torch.float64), torch.rand(3, dtype=torch.float64) + 0.1

    def value(weight, bias):
        score = lambda x: torch.tanh(x @ weight.T + bias)  # noqa: E731
        if kind == "explicit":
            return explicit_score_matching(score, x)
        if kind == "sliced":
            return sliced_score_matching(score, x, directions)
        return denoising_score_matching(score(x + sigma[:, None] * noise), noise, sigma)

    weight = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(value, (weight, bias))


@pytest.mark.parametrize("kind", ["explicit", "sliced", "denoising"])
def test_each_finds_the_score_of_a_mixture(kind):
    """Within 5 %: root of the mean squared error over that of the known score."""
    generator, sigma = torch.Generator().manual_seed(1), 0.5
    net = nn.Sequential(nn.Linear(2, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 2)).double()
    steps, rows = 800, 2048 if kind == "denoising" else 1024  # its noise is the larger one
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    averages = [parameter.detach().clone() for parameter in net.parameters()]
    for _ in range(steps):
        x = draw(rows, generator)
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        blurred = x + sigma * noise  # all three are fitted to the same density
        if kind == "explicit":
            loss = explicit_score_matching(net, blurred)
        elif kind == "sliced":
            loss = sliced_score_matching(net, blurred, signs(2, x, generator))
        else:
            loss = denoising_score_matching(net(blurred), noise, torch.full((len(x),), sigma, dtype=x.dtype))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        falling.step()
        for average, parameter in zip(averages, net.parameters()):
            average.lerp_(parameter.detach(), 0.02)
    with torch.no_grad():
        for average, parameter in zip(averages, net.parameters()):
            parameter.copy_(average)
        x = draw(20_000, generator) + sigma * torch.randn(20_000, 2, generator=generator, dtype=torch.float64)
        known = mixture_score(x, MEANS, DEVIATIONS, WEIGHTS, sigma)
        error = (fisher_divergence(net(x), known) / fisher_divergence(torch.zeros_like(x), known)).sqrt()
    print(kind, float(error))
    assert error < 0.05


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="directions"):
        sliced_score_matching(network(), torch.zeros(3, 2).double(), torch.zeros(1, 4, 2).double())
    with pytest.raises(ShapeError, match="sigma"):
        denoising_score_matching(torch.zeros(3, 2), torch.zeros(3, 2), torch.ones(2))
