import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill3d.kernels import backend
from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume.composite import accumulate, composite, composite_alpha, distortion

RAGGED = (torch.tensor([1, 1, 1, 3, 4, 4]), 6)  # rays 0, 2 and 5 are empty
EVEN = (torch.arange(3).repeat_interleave(2), 3)
BOTH = pytest.mark.parametrize("ray, rays", [RAGGED, EVEN])


@pytest.fixture(autouse=True, params=["torch", "warp"])
def kernel(request, monkeypatch):
    """Runs every test of this file with every backend."""
    if request.param == "warp":
        pytest.importorskip("warp")
    monkeypatch.setenv(backend.VARIABLE, request.param)
    assert backend.pick("composite", torch.device("cpu"), torch.float32) == request.param, backend.reasons()


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_weights(alpha, ray, rays):
    weights, opacity = torch.zeros_like(alpha), alpha.new_zeros(rays)
    for r in range(rays):
        light = 1.0
        for s in (ray == r).nonzero()[:, 0].tolist():
            weights[s] = light * alpha[s]
            opacity[r] += weights[s]
            light = light * (1 - alpha[s])
    return weights, opacity


def naive_distortion(weights, t, delta, ray, rays):
    out = weights.new_zeros(rays)
    for r in range(rays):
        w, at, d = weights[ray == r], t[ray == r], delta[ray == r]
        out[r] = (w[:, None] * w * (at[:, None] - at).abs()).sum() + (w**2 * d).sum() / 3
    return out


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_the_naive_loop(ray, rays, dtype):
    density, delta = (5 * random(6)).to(dtype), random(6, seed=1).to(dtype)
    expected = naive_weights(1 - torch.exp(-density * delta), ray, rays)
    torch.testing.assert_close(composite(density, delta, ray, rays), expected)
    alpha = random(6, seed=2).to(dtype)
    torch.testing.assert_close(composite_alpha(alpha, ray, rays), naive_weights(alpha, ray, rays))


def test_homogeneous_fog():
    count, density, length = 100, 0.7, 3.0
    ray = torch.zeros(count, dtype=torch.int64)
    delta = torch.full((count,), length / count)
    weights, opacity = composite(torch.full((count,), density), delta, ray, 1)
    torch.testing.assert_close(opacity, torch.tensor([1 - math.exp(-density * length)]))
    at = (torch.arange(count) + 0.5) * length / count
    exact = density * length / count * torch.exp(-density * at)
    torch.testing.assert_close(weights, exact, rtol=1e-3, atol=0)


def test_many_rays_in_single_precision_stay_exact():
    # 400 rays of 0 to 500 samples: a float32 running sum over all of them would be off by 1e-3.
    generator = torch.Generator().manual_seed(0)
    ray = torch.repeat_interleave(torch.randint(0, 500, (400,), generator=generator))
    density = torch.rand(ray.shape[0], generator=generator) * 10
    delta = torch.full_like(density, 0.01)
    single, double = composite(density, delta, ray, 400), composite(density.double(), delta.double(), ray, 400)
    for found, expected in zip(single, double):
        torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)


def test_gradients_in_single_precision_equal_the_double_reference():
    generator = torch.Generator().manual_seed(0)
    ray = torch.repeat_interleave(torch.randint(0, 90, (300,), generator=generator))
    density, delta = 20 * torch.rand(len(ray), generator=generator), 0.05 * torch.rand(len(ray), generator=generator)
    upstream = torch.randn(len(ray), generator=generator), torch.randn(300, generator=generator)
    found = []
    for dtype in torch.float32, torch.float64:
        leaf = density.to(dtype).requires_grad_()
        outputs = composite(leaf, delta.to(dtype), ray, 300)
        first, = torch.autograd.grad(outputs, leaf, [one.to(dtype) for one in upstream], create_graph=True)
        found.append((first, *torch.autograd.grad(first.square().sum(), leaf)))
    for single, double in zip(*found):
        assert double.abs().max() > 0
        assert (single - double).abs().max() <= 1e-4 * double.abs().max()


def test_bits_repeat_and_inference_mode_gives_the_same():
    ray, rays = RAGGED
    density, delta = 5 * random(6).float(), random(6, seed=1).float()
    wanted = composite(density, delta, ray, rays)
    assert all(torch.equal(a, b) for a, b in zip(wanted, composite(density, delta, ray, rays)))
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(wanted, composite(density.clone(), delta, ray, rays)))


@BOTH
def test_infinite_density_affects_only_its_own_ray(ray, rays):
    density = torch.ones(6)
    density[1] = torch.inf
    density.requires_grad_()
    weights, opacity = composite(density, torch.ones(6), ray, rays)
    first = ray[1]
    torch.testing.assert_close(opacity[first], torch.tensor(1.0))
    assert weights[2:][ray[2:] == first].abs().sum() < 1e-30
    clear = composite(torch.ones(6), torch.ones(6), ray, rays)[0]
    torch.testing.assert_close(weights[ray != first], clear[ray != first])
    weights[0].backward()
    assert density.grad.isfinite().all()


def test_opaque_alpha_has_finite_gradient():
    alpha = torch.tensor([0.5, 1.0, 0.5], requires_grad=True)
    weights, opacity = composite_alpha(alpha, torch.zeros(3, dtype=torch.int64), 1)
    torch.testing.assert_close(weights, torch.tensor([0.5, 0.5, 0.0]), atol=1e-6, rtol=0)
    (opacity.sum() + weights.square().sum()).backward()
    assert alpha.grad.isfinite().all()


@BOTH
def test_accumulate_values(ray, rays):
    weights, values = random(6), random(6, 2, seed=1)
    expected = torch.zeros(rays, 2, dtype=torch.float64).index_add_(0, ray, weights[:, None] * values)
    torch.testing.assert_close(accumulate(weights, values, ray, rays), expected)
    alone = accumulate(weights, None, ray, rays)
    torch.testing.assert_close(alone, torch.zeros(rays, 1, dtype=torch.float64).index_add_(0, ray, weights[:, None]))
    mixed = accumulate(weights.float(), values.half(), ray, rays)
    torch.testing.assert_close(mixed.double(), expected, atol=1e-3, rtol=1e-3)


@BOTH
def test_distortion_equals_the_double_sum(ray, rays):
    weights, delta = random(6), random(6, seed=1)
    t = delta.cumsum(0)
    torch.testing.assert_close(distortion(weights, t, delta, ray, rays), naive_distortion(weights, t, delta, ray, rays))


def test_distortion_of_a_uniform_spread():
    # The limit of equal weights over an interval of length one: E|a - b| = 1 / 3.
    count = 50
    t = (torch.arange(count, dtype=torch.float64) + 0.5) / count + 7
    ones = torch.full((count,), 1 / count, dtype=torch.float64)
    found = distortion(ones, t, ones, torch.zeros(count, dtype=torch.int64), 1)
    torch.testing.assert_close(found, torch.tensor([1 / 3], dtype=torch.float64))


@BOTH
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_gradients(check, ray, rays):
    a, b, c = (random(6, seed=k).add(0.1).requires_grad_() for k in range(3))
    values = random(6, 2).requires_grad_()
    assert check(lambda d: composite(d, b.detach(), ray, rays), (a,))
    assert check(lambda d: composite_alpha(d * 0.9, ray, rays), (a,))
    assert check(lambda w, v: accumulate(w, v, ray, rays), (a, values))
    assert check(lambda w: accumulate(w, None, ray, rays), (a,))
    assert check(lambda w, t, d: distortion(w, t, d, ray, rays), (a, b, c))


def test_delta_gets_no_gradient():
    delta = random(6).requires_grad_()
    weights, _ = composite(random(6).requires_grad_(), delta, *EVEN)
    assert torch.autograd.grad(weights.sum(), delta, allow_unused=True) == (None,)


def test_half_precision_is_raised():
    weights, opacity = composite(torch.ones(6).half(), torch.ones(6), *EVEN)
    assert weights.dtype == opacity.dtype == torch.float32


@pytest.mark.parametrize("rays", [0, 3])
def test_no_samples(rays):
    ray, none = torch.zeros(0, dtype=torch.int64), torch.zeros(0, requires_grad=True)
    weights, opacity = composite(none, none, ray, rays)
    assert weights.shape == (0,) and opacity.tolist() == [0.0] * rays
    assert composite_alpha(none, ray, rays)[1].tolist() == [0.0] * rays
    colour = accumulate(weights, torch.zeros(0, 3), ray, rays)
    assert colour.shape == (rays, 3) and not colour.any()
    assert distortion(none, none, none, ray, rays).tolist() == [0.0] * rays
    (opacity.sum() + colour.sum()).backward()


def test_bad_arguments():
    ray, rays = EVEN
    with pytest.raises(ShapeError, match="delta"):
        composite(torch.ones(6), torch.ones(5), ray, rays)
    with pytest.raises(ShapeError, match="density"):
        composite(torch.ones(6, 1), torch.ones(6), ray, rays)
    with pytest.raises(ShapeError, match="values"):
        accumulate(torch.ones(6), torch.ones(6), ray, rays)
    with pytest.raises(ShapeError, match="ray"):
        composite_alpha(torch.ones(6), ray[1:], rays)
