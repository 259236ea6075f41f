import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.quaternion import rotation_matrices
from distill3d.kernels.volume.gaussian_density import REACH, extents, extinction, gaussian_density


def cloud(count=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rand = lambda *shape: torch.rand(*shape, dtype=torch.float64, generator=generator)
    return rand(count, 3), rand(count, 4) - 0.5, 0.02 + 0.1 * rand(count, 3), 0.5 + rand(count), rand(count, 2)


def plainly(x, positions, rotations, scales, weights):
    """Shares of the density [M,N], by the covariances."""
    turned = rotation_matrices(rotations)
    inverse = turned @ torch.diag_embed(1 / scales**2) @ turned.mT
    away = x[:, None] - positions
    return weights * torch.exp(-0.5 * torch.einsum("mni,nij,mnj->mn", away, inverse, away))


def test_density_value_and_gradient():
    positions, rotations, scales, weights, values = cloud()
    x = torch.rand(3000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = gaussian_density(x.detach(), positions, rotations, scales, weights, values, gradient=True)
    shares = plainly(x, positions, rotations, scales, weights)
    wanted = shares.sum(1)
    # Cut off at REACH: each pair misses at most its share there.
    torch.testing.assert_close(found.density, wanted, atol=30 * math.exp(-0.5 * REACH**2), rtol=0)
    dense = (wanted > 0.5).nonzero().squeeze(1)
    assert len(dense) > 500
    torch.testing.assert_close(found.value[dense], ((shares @ values) / wanted[:, None])[dense], atol=0.05, rtol=0)
    slope, = torch.autograd.grad(wanted.sum(), x)
    assert torch.cosine_similarity(found.gradient[dense], slope[dense]).median() > 0.999


def test_one_gaussian_by_hand():
    found = gaussian_density(torch.tensor([[1.0, 0, 0], [0, 2.0, 0], [0, 0, 9.0]]), torch.zeros(1, 3),
                             torch.tensor([[1.0, 0, 0, 0]]), torch.tensor([[1.0, 2.0, 1.0]]), torch.tensor([3.0]),
                             torch.tensor([[7.0]]), gradient=True)
    torch.testing.assert_close(found.density, torch.tensor([3 * math.exp(-0.5), 3 * math.exp(-0.5), 0]))
    assert found.value.flatten().tolist() == pytest.approx([7, 7, 0], abs=1e-3)
    torch.testing.assert_close(found.gradient[0], torch.tensor([-3 * math.exp(-0.5), 0, 0]))
    torch.testing.assert_close(found.gradient[1], torch.tensor([0, -1.5 * math.exp(-0.5), 0]))


def test_extinction_is_the_opacity_of_usual_ones_and_in_proportion_to_it():
    scales = torch.tensor([[0.1, 0.2, 0.4]] * 2)              # 0.2 in the geometric mean
    peak = extinction(scales, torch.tensor([[0.3], [0.9]]))
    t = torch.linspace(-2, 2, 4001)
    assert float((peak[0] * torch.exp(-0.5 * (t / 0.2) ** 2)).sum() * (t[1] - t[0])) == pytest.approx(0.3, rel=1e-3)
    assert float(peak[1] / peak[0]) == pytest.approx(3)
    mixed = extinction(torch.tensor([[0.1] * 3, [0.4] * 3]), torch.tensor([[0.8], [0.4]]))
    assert float(mixed[0] / mixed[1]) == pytest.approx(2)     # whatever their sizes
    assert extinction(scales, torch.zeros(2, 1)).eq(0).all()


def test_extents_are_those_along_the_worlds_axes():
    half = math.sqrt(0.5)
    found = extents(torch.tensor([[half, 0, 0, half]]), torch.tensor([[1.0, 2.0, 3.0]]))    # a quarter around z
    torch.testing.assert_close(found, torch.tensor([[2.0, 1.0, 3.0]]))


def test_nothing_anywhere():
    positions, rotations, scales, weights, values = cloud(0)
    assert gaussian_density(torch.rand(5,
                                       3).double(), positions, rotations, scales, weights, values).density.eq(0).all()
    positions, rotations, scales, weights, values = cloud(3)
    assert gaussian_density(torch.zeros(0,
                                        3).double(), positions, rotations, scales, weights,
                            values).value.shape == (0, 2)


def test_shapes_are_checked():
    positions, rotations, scales, weights, _ = cloud()
    with pytest.raises(ShapeError, match="weights"):
        gaussian_density(positions, positions, rotations, scales, weights[1:])
