import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume.regularize import (
    depth_variance,
    eikonal,
    emptiness,
    opacity_entropy,
    orientation,
    sparsity,
    transmittance,
)


def test_sparsity_is_the_mean_of_the_published_root():
    opacity = torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    expected = (0.1 + math.sqrt(0.1) + math.sqrt(1.01)) / 3
    assert sparsity(opacity).item() == pytest.approx(expected, abs=1e-12)


def test_sparsity_has_a_finite_slope_at_empty():
    opacity = torch.zeros(4, requires_grad=True)
    sparsity(opacity).backward()
    assert torch.equal(opacity.grad, torch.zeros(4))


def test_entropy_is_largest_at_half_and_symmetric():
    half = torch.full((5,), 0.5, dtype=torch.float64)
    assert opacity_entropy(half).item() == pytest.approx(math.log(2))
    assert opacity_entropy(half, unit="bits").item() == pytest.approx(1.0)
    low, high = torch.tensor([[0.2], [0.8]], dtype=torch.float64)
    assert opacity_entropy(low).item() == pytest.approx(opacity_entropy(high).item())
    assert opacity_entropy(low).item() == pytest.approx(-0.2 * math.log(0.2) - 0.8 * math.log(0.8))


def test_entropy_equals_the_cross_entropy_of_opacity_with_itself():
    opacity = torch.rand(50, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.99 + 0.005
    expected = torch.nn.functional.binary_cross_entropy(opacity, opacity)
    assert torch.allclose(opacity_entropy(opacity), expected)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_entropy_is_finite_and_flat_beyond_the_margin(edge):
    opacity = torch.full((3,), edge, requires_grad=True)
    value = opacity_entropy(opacity)
    value.backward()
    expected = -(1e-3 * math.log(1e-3) + 0.999 * math.log(0.999))
    assert value.item() == pytest.approx(expected, rel=1e-3)
    assert torch.equal(opacity.grad, torch.zeros(3))


def test_entropy_names_an_unknown_unit():
    with pytest.raises(ValueError, match="hartleys"):
        opacity_entropy(torch.rand(2), unit="hartleys")


def _samples(dtype=torch.float64):
    """Three rays along -z: the first has two samples, the second none, the third one without weight."""
    direction = torch.tensor([[0.0, 0.0, -1.0]], dtype=dtype).expand(3, 3)
    normal = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.8, -0.6], [0.0, 0.0, -1.0]], dtype=dtype)
    return torch.tensor([0.5, 0.25, 0.0], dtype=dtype), normal, direction, torch.tensor([0, 0, 2]), 3


def test_orientation_sums_over_samples_and_divides_by_rays_that_hit():
    assert orientation(*_samples()).item() == pytest.approx(0.5 * 1.0 + 0.25 * 0.36)


def test_orientation_divides_by_every_ray_that_hits():
    weights, normal, direction, ray, rays = _samples()
    weights = torch.tensor([0.5, 0.25, 1.0], dtype=torch.float64)
    assert orientation(weights, normal, direction, ray, rays).item() == pytest.approx((0.59 + 1.0) / 2)


def test_orientation_is_zero_for_normals_towards_the_camera():
    weights, normal, direction, ray, rays = _samples()
    assert orientation(weights, -normal, direction, ray, rays).item() == 0


def test_orientation_turns_matter_and_does_not_remove_it():
    weights, normal, direction, ray, rays = _samples()
    weights, normal = weights.requires_grad_(), normal.requires_grad_()
    orientation(weights, normal, direction, ray, rays).backward()
    assert weights.grad is None
    assert normal.grad.abs().sum() > 0


def test_orientation_names_the_argument_with_the_wrong_shape():
    weights, normal, direction, ray, rays = _samples()
    with pytest.raises(ShapeError, match="normal"):
        orientation(weights, normal[:2], direction, ray, rays)
    with pytest.raises(ShapeError, match="ray"):
        orientation(weights, normal, direction, ray[:1], rays)


def test_eikonal():
    gradient = torch.tensor([[0.0, 0.6, 0.8], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0]], requires_grad=True)
    value = eikonal(gradient)
    assert value.item() == pytest.approx((0 + 1 + 1) / 3)
    value.backward()
    assert torch.isfinite(gradient.grad).all() and gradient.grad[1, 0] > 0


def test_empty_inputs_give_zero():
    nothing = torch.zeros(0)
    assert eikonal(torch.zeros(0, 3)).item() == 0
    assert sparsity(nothing).item() == 0
    assert opacity_entropy(nothing).item() == 0
    assert orientation(nothing, torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), 4).item() == 0


def test_gradients():
    generator = torch.Generator().manual_seed(1)
    opacity = (torch.rand(6, dtype=torch.float64, generator=generator) * 0.9 + 0.05).requires_grad_()
    assert torch.autograd.gradcheck(sparsity, opacity)
    assert torch.autograd.gradcheck(opacity_entropy, opacity)
    assert torch.autograd.gradcheck(lambda o: opacity_entropy(o, unit="bits"), opacity)
    weights, normal, direction, ray, rays = _samples()
    normal = torch.randn(3, 3, dtype=torch.float64, generator=generator).requires_grad_()
    direction = torch.randn(3, 3, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda n, d: orientation(weights, n, d, ray, rays), (normal, direction))


def test_transmittance_is_the_clipped_mean_of_each_view():
    opacity = torch.tensor([0.2, 0.9]).double().view(2, 1, 1, 1).expand(2, 3, 3, 1).clone().requires_grad_()
    assert float(transmittance(opacity, 0.5)) == pytest.approx(-(0.5 + 0.1) / 2)
    assert torch.autograd.gradcheck(lambda o: transmittance(o, 0.5), opacity)


def test_depth_variance_is_that_of_the_weights_of_opaque_rays():
    weights = torch.tensor([0.5, 0.3, 0.2, 0.1, 0.9], dtype=torch.float64, requires_grad=True)
    t = torch.tensor([1.0, 2.0, 4.0, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    ray = torch.tensor([0, 0, 0, 1, 2])
    mean = 0.5 * 1 + 0.3 * 2 + 0.2 * 4
    first = 0.5 * (1 - mean) ** 2 + 0.3 * (2 - mean) ** 2 + 0.2 * (4 - mean) ** 2
    found = depth_variance(weights, t, ray, 4)  # ray 1 is too thin, ray 2 has one sample, ray 3 none
    assert found.item() == pytest.approx(first / 2)
    assert torch.autograd.gradcheck(lambda w, t: depth_variance(w, t, ray, 4), [weights, t])
    assert depth_variance(weights[:0], t[:0], ray[:0], 2).item() == 0


def test_emptiness_prefers_one_large_weight():
    thick, thin = torch.full((10,), 0.1), torch.tensor([1.0])
    assert emptiness(thin, 1).item() == pytest.approx(math.log(11))
    assert emptiness(thick, 1).item() == pytest.approx(10 * math.log(2))
    assert emptiness(thin, 4).item() == pytest.approx(math.log(11) / 4)
