import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume.normals import analytic_normals, finite_difference_gradient, finite_difference_normals


def blob(points):
    """A density that falls away from the origin, so that normals point outwards."""
    return torch.exp(-points.square().sum(1))


def points(count=5):
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def outwards(x):
    return x / x.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("create_graph", [False, True])
def test_analytic_points_outwards(create_graph):
    x = points()
    density, normal = analytic_normals(blob, x, create_graph)
    torch.testing.assert_close(density, blob(x))
    torch.testing.assert_close(normal, outwards(x))
    assert density.requires_grad and normal.requires_grad == create_graph
    assert not x.requires_grad


@pytest.mark.parametrize("scheme, error", [("forward", 1e-2), ("central", 1e-5)])
def test_finite_differences_converge(scheme, error):
    x = points()
    density, normal = finite_difference_normals(blob, x, 1e-3, scheme)
    torch.testing.assert_close(density, blob(x))
    distance = (normal - outwards(x)).abs().max()
    assert distance < error
    _, finer = finite_difference_normals(blob, x, 5e-4, scheme)
    ratio = distance / (finer - outwards(x)).abs().max()
    assert ratio == pytest.approx({"forward": 2, "central": 4}[scheme], rel=0.1)


@pytest.mark.parametrize("scheme, error", [("forward", 2e-3), ("central", 1e-6)])
def test_the_gradient_of_a_distance(scheme, error):
    x = points()
    sdf, gradient, normal = finite_difference_gradient(lambda p: 3 * p.norm(dim=1), x, 1e-3, scheme)
    torch.testing.assert_close(sdf, 3 * x.norm(dim=1))
    torch.testing.assert_close(gradient, 3 * outwards(x), atol=3 * error, rtol=0)
    torch.testing.assert_close(normal, outwards(x), atol=error, rtol=0)
    known = finite_difference_gradient(lambda p: 3 * p.norm(dim=1), x, 1e-3, scheme, sdf)[1]
    torch.testing.assert_close(known, gradient)


@pytest.mark.parametrize("scheme, evaluations", [("forward", 4), ("central", 7)])
def test_evaluations(scheme, evaluations):
    counts = []
    def counting(x):
        counts.append(x.shape[0])
        return blob(x)
    x = points()
    _, normal = finite_difference_normals(counting, x, 1e-3, scheme)
    density, again = finite_difference_normals(counting, x, 1e-3, scheme, density=blob(x))
    assert counts == [5 * evaluations, 5 * (evaluations - 1)]
    torch.testing.assert_close(normal, again)
    torch.testing.assert_close(density, blob(x))


def normals_of_a_plane(kind):
    """Normals of the field a . x**2 as a function of a."""
    x = points(3).abs() + 0.2
    def run(a):
        def field(p):
            return -(a * p**2).sum(1)
        if kind == "analytic":
            return analytic_normals(field, x, create_graph=True)
        return finite_difference_normals(field, x, 1e-2, kind)
    return run


@pytest.mark.parametrize("kind", ["analytic", "forward", "central"])
def test_gradients_reach_the_field(kind):
    a = torch.tensor([1.0, 2, 3], dtype=torch.float64, requires_grad=True)
    assert gradcheck(normals_of_a_plane(kind), a)


@pytest.mark.parametrize("run", [lambda f, x: analytic_normals(f, x, True),
                                 lambda f, x: finite_difference_normals(f, x, 1e-3)])
def test_flat_field_has_zero_normal_and_finite_gradient(run):
    a = torch.ones((), dtype=torch.float64, requires_grad=True)
    x = torch.zeros(2, 3, dtype=torch.float64)
    _, normal = run(lambda p: a + 0 * a * p.sum(1), x)
    assert not normal.any()
    normal.sum().backward()
    assert a.grad == 0


def test_gradient_flows_to_points_that_require_it():
    x = points().requires_grad_()
    _, normal = analytic_normals(blob, x * 2, create_graph=True)
    grad, = torch.autograd.grad(normal[:, 0].sum(), x)
    expected, = torch.autograd.grad(outwards(x)[:, 0].sum(), x)
    torch.testing.assert_close(grad, expected)


def test_under_no_grad_nothing_is_recorded():
    with torch.no_grad():
        density, normal = analytic_normals(blob, points(), create_graph=True)
    assert not density.requires_grad and not normal.requires_grad
    torch.testing.assert_close(normal, outwards(points()))


def test_no_points():
    density, normal = analytic_normals(blob, torch.zeros(0, 3), True)
    assert density.shape == (0,) and normal.shape == (0, 3)
    for scheme in "forward", "central":
        assert finite_difference_normals(blob, torch.zeros(0, 3), 0.1, scheme)[1].shape == (0, 3)


def test_inference_mode_is_an_error_and_its_tensors_are_not():
    with torch.inference_mode():
        x = points() * 1
        with pytest.raises(RuntimeError, match="inference mode"):
            analytic_normals(blob, x, False)
        _, normal = finite_difference_normals(blob, x, 1e-4, "central")
        torch.testing.assert_close(normal, outwards(points()), atol=1e-6, rtol=0)
    torch.testing.assert_close(analytic_normals(blob, x, False)[1], outwards(points()))


def test_bad_arguments():
    with pytest.raises(ShapeError, match=r"density_fn\(x\)"):
        analytic_normals(lambda x: x, points(), False)
    with pytest.raises(RuntimeError, match="does not depend"):
        analytic_normals(lambda x: torch.ones(len(x)), points(), False)
    with pytest.raises(ValueError, match="scheme"):
        finite_difference_normals(blob, points(), 0.1, "backward")
    with pytest.raises(ValueError, match="epsilon"):
        finite_difference_normals(blob, points(), 0.0)
