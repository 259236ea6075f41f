import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.image.compare import psnr


def test_known_differences():
    a = torch.zeros(3, 4, 5, 3, dtype=torch.float64)
    b = a.clone()
    b[0] += 0.1
    b[1, :2] += 0.2                                       # half the rows: mean square 0.02
    assert psnr(a, b).tolist() == pytest.approx([20.0, -10 * math.log10(0.02), math.inf])
    assert torch.equal(psnr(a, b), psnr(b, a))


def test_gradcheck():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 2, 3, 3, 1, dtype=torch.float64, generator=generator).requires_grad_().unbind(0)
    assert torch.autograd.gradcheck(psnr, (a.detach().requires_grad_(), b.detach().requires_grad_()))


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match=r"b must have shape \[1, 4, 4, 3\]"):
        psnr(torch.rand(1, 4, 4, 3), torch.rand(1, 4, 4, 1))
    assert psnr(torch.rand(0, 4, 4, 3), torch.rand(0, 4, 4, 3)).shape == (0,)
