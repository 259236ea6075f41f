import pytest
import torch

from distill3d.kernels.distill.dreamtime import falling_timestep, importance

ABAR = torch.cos((torch.arange(1000) + 0.5) / 1000 * torch.pi / 2).square().clamp(1e-4, 0.9999)
SIGMA = ((1 - ABAR) / ABAR).sqrt()


def test_timesteps_never_rise_and_cover_the_range():
    weights = importance(SIGMA)
    path = [falling_timestep(weights, step / 499, 20, 980) for step in range(500)]
    assert all(b <= a for a, b in zip(path, path[1:])) and path[0] == 980 and path[-1] <= 120
    assert min(path) >= 20


def test_equal_weights_fall_evenly():
    path = [falling_timestep(torch.ones(1001), share, 0, 1000) for share in (0.0, 0.25, 0.5, 0.75)]
    assert path == pytest.approx([1000, 750, 500, 250], abs=1)


def test_the_time_spent_is_the_weight():
    """Of 20,000 steps, the share between two timesteps is their share of the weights."""
    weights = torch.zeros(100, dtype=torch.float64)
    weights[10:20], weights[60:80] = 1.0, 2.0
    path = torch.tensor([falling_timestep(weights, (step + 0.5) / 20000, 0, 99) for step in range(0, 20000, 20)])
    assert float((path >= 60).double().mean()) == pytest.approx(40 / 50, abs=0.03)


def test_importance_has_a_plateau_times_sigma():
    weights = importance(SIGMA)
    assert float(weights.sum()) == pytest.approx(1.0)
    ratio = weights / SIGMA.double()
    assert float(ratio[500:800].std() / ratio[600]) < 1e-9
    assert float(ratio[400] / ratio[600]) == pytest.approx(torch.exp(torch.tensor(-0.5)).item(), rel=1e-6)


def test_a_range_without_weight_is_an_error():
    with pytest.raises(ValueError, match="0 to 5"):
        falling_timestep(torch.zeros(10), 0.5, 0, 5)
