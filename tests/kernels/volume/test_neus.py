import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume.composite import composite, composite_alpha
from distill3d.kernels.volume.neus import incidence, neus_alpha, opaque_density, weight_density

SHARP = torch.tensor(40.0, dtype=torch.float64)


def ray_through_a_plane(count=400, slope=-0.6, length=2.0):
    """Samples [S] of a ray on which the distance falls linearly from 0.5: it enters the plane at 0.5 / 0.6."""
    delta = torch.full((count,), length / count, dtype=torch.float64)
    t = (torch.arange(count, dtype=torch.float64) + 0.5) * delta
    return t, 0.5 + slope * t, torch.full_like(t, slope), delta


def test_alpha_is_the_definition():
    """With Phi at both ends of each segment, where the distance is linear in between; growing distances are
    transparent."""
    t, sdf, slope, delta = ray_through_a_plane(40)
    near, far = (torch.sigmoid(SHARP * (sdf + side * 0.5 * slope * delta)) for side in (-1, 1))
    torch.testing.assert_close(neus_alpha(sdf, slope, delta, SHARP), (near - far) / near, rtol=1e-9, atol=1e-12)
    assert neus_alpha(sdf, -slope, delta, SHARP).abs().max() == 0


def test_the_published_form_is_the_same_but_for_its_constants():
    t, sdf, slope, delta = ray_through_a_plane(40)
    near, far = (torch.sigmoid(SHARP * (sdf + side * 0.5 * slope * delta)) for side in (-1, 1))
    seen = near > 0.05  # deeper inside, the published constants make everything opaque
    published = ((near - far + 1e-5) / (near + 1e-5)).clamp(0, 1)
    torch.testing.assert_close(neus_alpha(sdf, slope, delta, SHARP)[seen], published[seen], rtol=0, atol=2e-4)


def test_weights_are_the_logistic_density_around_the_surface():
    """Transmittance telescopes to Phi, so weight / delta is its slope s |c| Phi (1 - Phi), heaviest at the surface
    itself."""
    t, sdf, slope, delta = ray_through_a_plane()
    weights, opacity = composite_alpha(neus_alpha(sdf, slope, delta, SHARP), torch.zeros(len(t), dtype=torch.int64), 1)
    phi = torch.sigmoid(SHARP * sdf)
    torch.testing.assert_close(weights / delta, SHARP * 0.6 * phi * (1 - phi), rtol=0, atol=1e-2)
    assert abs(t[weights.argmax()].item() - 0.5 / 0.6) <= delta[0].item()
    assert opacity.item() == pytest.approx(1.0, abs=1e-6)


def test_densities_equal_alphas_on_rays_that_meet_the_surface_head_on():
    t, sdf, slope, delta = ray_through_a_plane(slope=-1.0, length=1.0)
    ray = torch.zeros(len(t), dtype=torch.int64)
    weights, _ = composite_alpha(neus_alpha(sdf, slope, delta, SHARP), ray, 1)
    by_density, _ = composite(opaque_density(sdf, SHARP), delta, ray, 1)
    torch.testing.assert_close(by_density, weights, rtol=0, atol=2e-4)
    torch.testing.assert_close(weight_density(sdf, SHARP) * delta, weights, rtol=0, atol=2e-4)
    assert opaque_density(torch.zeros(1, dtype=torch.float64), SHARP).item() == pytest.approx(20)


def test_nothing_overflows_far_from_the_surface():
    sdf = torch.tensor([-100.0, -1.0, 0.0, 1.0, 100.0], requires_grad=True)
    slope = torch.full((5,), -1.0, requires_grad=True)
    sharpness = torch.tensor(1000.0, requires_grad=True)
    alpha = neus_alpha(sdf, slope, torch.full((5,), 0.01), sharpness)
    alpha.sum().backward()
    assert all(torch.isfinite(one.grad).all() for one in (sdf, slope, sharpness))
    assert alpha.min() >= 0 and alpha.max() <= 1 and alpha[0] > 0.99 and alpha[4] == 0


def test_gradcheck():
    generator = torch.Generator().manual_seed(0)
    sdf, slope = torch.randn(2, 6, dtype=torch.float64, generator=generator)
    arguments = (sdf.mul(0.05).requires_grad_(), (-slope.abs() - 0.1).requires_grad_(), SHARP.clone().requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b, s: neus_alpha(a, b, torch.full_like(a, 0.03), s), arguments)


def test_incidence_is_annealed():
    normal = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    direction = torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.6, 0.8], [0.0, 0.8, -0.6]])
    assert incidence(normal, direction).tolist() == pytest.approx([-1.0, 0.0, -0.6])
    assert incidence(normal, direction, 0.0).tolist() == pytest.approx([-1.0, -0.1, -0.8])
    assert incidence(normal, direction, 0.5).tolist() == pytest.approx([-1.0, -0.05, -0.7])


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="slope"):
        neus_alpha(torch.zeros(3), torch.zeros(2), torch.ones(3), torch.tensor(1.0))
    with pytest.raises(ShapeError, match="direction"):
        incidence(torch.zeros(3, 3), torch.zeros(2, 3))
