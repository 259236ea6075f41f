"""Numbers from counters: even, unrelated between neighbours, and a reference value of every kind."""
import math

import pytest
import torch

from distill3d.kernels.counter_random import normal, uniform


def lowbias32(x):
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ (x >> 16)


def test_the_hash_in_plain_integers():
    for key, i, j in ((0, 0, 0), (2**64 - 1, 5, 7), (123456789012345, 2**31 + 3, 10**6)):
        mixed = lowbias32(lowbias32((i + key) % 2**32) ^ ((j + (key >> 32)) % 2**32))
        assert uniform(key, torch.tensor([i]), torch.tensor([j])).item() == (mixed >> 8) / 2**24


@pytest.mark.parametrize("key", [0, 1, 2**40 + 12345])
def test_uniform_numbers_are_even_and_unrelated(key):
    found = uniform(key, torch.arange(400)[:, None], torch.arange(500))
    assert found.min() >= 0 and found.max() < 1
    counts = torch.histc(found, 64, 0, 1)
    assert float(((counts - 3125) ** 2 / 3125).sum()) < 120  # chi squared with 63 degrees: 99.99 % below
    centred = found - 0.5
    for other in (centred.roll(1, 0), centred.roll(1, 1),
                  uniform(key + 1, torch.arange(400)[:, None], torch.arange(500)) - 0.5):
        assert abs(float((centred * other).mean())) * 12 < 0.01


def test_normal_numbers():
    found = normal(7, torch.arange(60_000), 3)
    assert found.shape == (60_000, 3) and found.isfinite().all()
    assert found.mean().abs() < 0.01 and abs(float(found.var()) - 1) < 0.015
    assert float((found.abs() > 2).float().mean()) == pytest.approx(math.erfc(2 / 2**0.5), abs=0.002)
    assert (torch.corrcoef(found.T) - torch.eye(3)).abs().max() < 0.02
    assert torch.equal(normal(7, torch.tensor([5]), 3), found[5:6])
