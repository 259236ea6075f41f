import math

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.fields.initial import InitialDensity, bounded_exp, cube


def points(*radii):
    return torch.tensor([[0.0, radius, 0.0] for radius in radii])


def test_magic3d_blob_is_a_cone_of_raw_density():
    x = points(0.0, 0.25, 0.5, 1.0)
    expected = torch.tensor([10.0, 5.0, 0.0, -10.0])
    torch.testing.assert_close(InitialDensity().bias(x), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(InitialDensity().density(torch.zeros(4), x), torch.log1p(expected.exp()), atol=1e-4,
                               rtol=1e-5)


def test_dreamfusion_blob_is_a_gaussian_of_raw_density():
    initial = InitialDensity("exp", "dreamfusion blob", 5.0, 0.2)
    expected = torch.tensor([5.0, 5 * math.exp(-0.5), 5 * math.exp(-12.5)])
    torch.testing.assert_close(initial.bias(points(0.0, 0.2, 1.0)), expected)
    torch.testing.assert_close(initial.density(torch.zeros(3), points(0.0, 0.2, 1.0)), expected.exp())


def test_without_a_blob_the_raw_density_alone_counts():
    initial = InitialDensity("softplus", "none", scale=3.0)
    assert initial.bias(points(1.0)) is None
    torch.testing.assert_close(initial.density(torch.zeros(1), points(1.0)), torch.tensor([3 * math.log(2)]))


def test_the_blob_has_a_finite_slope_at_its_centre():
    x = torch.zeros(1, 3, requires_grad=True)
    InitialDensity().bias(x).sum().backward()
    assert torch.isfinite(x.grad).all()


def test_bounded_exp_is_exp_and_then_a_line():
    x = torch.tensor([-3.0, 0.0, 14.0, 15.0, 16.0, 200.0], dtype=torch.float64, requires_grad=True)
    value = bounded_exp(x)
    expected = [math.exp(v) if v <= 15 else math.exp(15) * (v - 14) for v in x.tolist()]
    torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64))
    slope, = torch.autograd.grad(value.sum(), x)
    torch.testing.assert_close(slope, torch.tensor([math.exp(min(v, 15)) for v in x.tolist()], dtype=torch.float64))
    inner = torch.tensor([-1.0, 2.0, 17.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(bounded_exp, inner)


@pytest.mark.parametrize("wrong", [{"activation": "relu"}, {"blob": "cube"}, {"spread": 0.0}, {"scale": -1.0}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(DistillError, match=str(next(iter(wrong.values())))):
        InitialDensity(**wrong)


def test_cube():
    assert cube(2.0).tolist() == [[-2.0] * 3, [2.0] * 3]
    with pytest.raises(DistillError, match="positive"):
        cube(0.0)
