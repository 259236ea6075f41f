import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill3d.kernels.encode import corner


def inputs(features, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(5, (8, 4), generator=generator, dtype=torch.int32)
    shapes = (8, 4), (5, features), (4, features)
    return [torch.randn(s, generator=generator, dtype=dtype).requires_grad_() for s in shapes], index


@pytest.mark.parametrize("features", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_all_three_are_derivatives_of_one_form(features, dtype):
    (weights, table, grad), index = inputs(features, dtype)
    phi = (weights[..., None] * table[index.long()] * grad[None]).sum()
    d_weights, d_table, d_grad = torch.autograd.grad(phi, (weights, table, grad))
    torch.testing.assert_close(corner.gather(weights, table, index), d_grad)
    torch.testing.assert_close(corner.dot(table, grad, index), d_weights)
    torch.testing.assert_close(corner.scatter(weights, grad, index, 5), d_table)


@pytest.mark.parametrize("features", [1, 2])
@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
def test_gradients(check, features):
    (weights, table, grad), index = inputs(features)
    assert check(lambda w, t: corner.gather(w, t, index), (weights, table))
    assert check(lambda t, g: corner.dot(t, g, index), (table, grad))
    assert check(lambda w, g: corner.scatter(w, g, index, 5), (weights, grad))


def test_rows_at_an_odd_place_in_memory():
    (weights, table, grad), index = inputs(2)
    odd = torch.cat((torch.zeros(1, dtype=torch.float64), table.detach().flatten()))[1:].view(5, 2)
    torch.testing.assert_close(corner.gather(weights, odd, index), corner.gather(weights, table, index))
