import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.encode.gaussian import encode_gaussian


def test_waves_of_known_frequency():
    found = encode_gaussian(torch.tensor([[0.25, 0.0]]).double(), torch.tensor([[1.0, 2.0], [7.0, 7.0]]).double())
    assert torch.allclose(found, torch.tensor([[0.0, -1.0, 1.0, 0.0]]).double(), atol=1e-12)
    assert found.square().sum() == pytest.approx(2)
    with pytest.raises(ShapeError, match="frequencies"):
        encode_gaussian(torch.zeros(1, 3), torch.zeros(2, 4))


def test_kernel_of_random_frequencies_is_gaussian():
    torch.manual_seed(0)
    features = encode_gaussian(torch.tensor([[0.0], [0.3]]), 0.5 * torch.randn(1, 20_000))
    assert float(features[0] @ features[1]) / 20_000 == pytest.approx(math.exp(-2 * (math.pi * 0.5 * 0.3)**2), abs=0.02)


def test_gradients():
    x = torch.rand(3, 2).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: encode_gaussian(x, torch.randn(2, 4, generator=torch.Generator()
                                    .manual_seed(1)).double()), x)
