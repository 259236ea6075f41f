"""Gradients; test_split_sum.py tests the values."""
import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels.shade.environment import (
    Environment,
    diffuse_light,
    panorama_directions,
    prepare_environment,
    reflected_light,
)


@pytest.fixture(scope="module")
def environment():
    directions, _ = panorama_directions(16, 32, torch.zeros(1))
    found = prepare_environment(1 + 0.5 * (3 * directions).sin())
    return Environment(found.irradiance.double(), found.reflected.double())


def unit(rows=6):
    raw = torch.randn(rows, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.normalize(raw, dim=1)


def test_gradients_of_diffuse_light(environment):
    assert diffuse_light(environment, unit()).min() > 0
    assert gradcheck(lambda normal: diffuse_light(environment, normal), unit().requires_grad_())


def test_gradients_of_reflected_light(environment):
    """The steps are smaller than a texel, at whose border the slope changes."""
    roughness = torch.tensor([0.05, 0.2, 0.4, 0.6, 0.8, 0.9], dtype=torch.float64)
    assert gradcheck(lambda *given: reflected_light(environment, *given),
                     (unit().requires_grad_(), roughness.requires_grad_()), eps=1e-7, atol=1e-5)
