import math

import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.encode.frequency import encode_frequency


def test_closed_form():
    x = torch.tensor([[0.5, -0.25, 0.0]], dtype=torch.float64)
    half = math.sqrt(0.5)
    expected = [1, 0, 0, -1, -half, half, -1, 0, 0, 1, 0, 1]
    torch.testing.assert_close(encode_frequency(x, 2)[0], torch.tensor(expected, dtype=torch.float64))


def test_input_in_front():
    x = torch.rand(4, 3, dtype=torch.float64)
    both = encode_frequency(x, 5, include_input=True)
    assert both.shape == (4, 33)
    torch.testing.assert_close(both[:, :3], x)
    torch.testing.assert_close(both[:, 3:], encode_frequency(x, 5))


def test_gradient():
    assert gradcheck(lambda x: encode_frequency(x, 3, True), torch.rand(3, 3, dtype=torch.float64, requires_grad=True))


def test_edges():
    assert encode_frequency(torch.zeros(0, 3), 4).shape == (0, 24)
    assert encode_frequency(torch.zeros(2, 3), 0, include_input=True).shape == (2, 3)
    with pytest.raises(ValueError, match="octaves"):
        encode_frequency(torch.zeros(2, 3), -1)
