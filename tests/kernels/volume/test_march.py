import math

import pytest
import torch
from torch.autograd import gradcheck

from distill3d.kernels import backend
from distill3d.kernels.volume import march
from distill3d.kernels.volume.march import march_rays, sample_points
from distill3d.kernels.volume.occupancy import OccupancyGrid, new_occupancy

# Crosses 2 units; misses; crosses 1 unit from inside.
ORIGINS = torch.tensor([[3.0, 0, 0], [3, 2, 0], [0, 0, 0]])
DIRECTIONS = torch.tensor([[-1.0, 0, 0], [-1, 0, 0], [0, 0, 1]])


@pytest.fixture(autouse=True, params=["torch", "warp"])
def kernel(request, monkeypatch):
    """Runs every test of this file with every backend."""
    if request.param == "warp":
        pytest.importorskip("warp")
    monkeypatch.setenv(backend.VARIABLE, request.param)
    assert backend.pick("march_rays", torch.device("cpu"), torch.float32) == request.param, backend.reasons()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def fan(rays=50):
    directions = torch.randn(rays, 3, generator=seeded())
    down = torch.tensor([0, 3.0, 0])
    return torch.tensor([[0.3, 2.0, 0.1]]).expand(rays, 3), torch.nn.functional.normalize(directions - down)


def right_half(resolution=4):
    """Occupied where x > 0."""
    grid = new_occupancy(1.0, resolution)
    binary = torch.zeros_like(grid.binary)
    binary[resolution // 2:] = True
    return OccupancyGrid(grid.value, binary, grid.bounds)


def test_fixed_number_of_samples():
    found = march_rays(ORIGINS, DIRECTIONS, 1.0, samples=4)
    assert found.ray.tolist() == [0] * 4 + [2] * 4 and found.rays == 3 and found.ray.dtype == torch.int64
    torch.testing.assert_close(found.t, torch.tensor([2.25, 2.75, 3.25, 3.75, .125, .375, .625, .875]))
    torch.testing.assert_close(found.delta, torch.tensor([.5] * 4 + [.25] * 4))


def test_fixed_step_cuts_the_last_segment():
    found = march_rays(ORIGINS, DIRECTIONS, 1.0, step=0.75)
    assert found.ray.tolist() == [0, 0, 0, 2, 2]
    torch.testing.assert_close(found.t, torch.tensor([2.375, 3.125, 3.75, .375, .875]))
    torch.testing.assert_close(found.delta, torch.tensor([.75, .75, .5, .75, .25]))


@pytest.mark.parametrize("how", [dict(step=0.1), dict(samples=13)])
@pytest.mark.parametrize("key", [None, 0, 2**64 - 1])
def test_segments_tile_each_ray(how, key):
    origins, directions = fan()
    found = march_rays(origins, directions, 1.0, key=key, **how)
    assert (found.ray.diff() >= 0).all() and (found.delta >= 0).all()
    near, far = march.intersect_box(origins, directions, 1.0)
    covered = torch.zeros(50).index_add_(0, found.ray, found.delta)
    torch.testing.assert_close(covered, far - near)
    same = found.ray.diff() == 0
    assert (found.t.diff()[same] > 0).all()
    points = sample_points(origins, directions, found)
    torch.testing.assert_close(points, origins[found.ray] + found.t[:, None] * directions[found.ray])
    assert points.abs().max() <= 1 + 1e-5


def test_jitter_is_uniform_in_its_segment_and_repeats():
    how = dict(bounds=1.0, samples=2000)
    middle = march_rays(ORIGINS, DIRECTIONS, **how)
    one, two = (march_rays(ORIGINS, DIRECTIONS, key=2**63 + 5, **how) for _ in range(2))
    assert torch.equal(one.t, two.t) and torch.equal(one.delta, middle.delta)
    place = (one.t - middle.t) / one.delta
    assert place.abs().max() <= 0.501 and place.mean().abs() < 0.02
    assert place.std() == pytest.approx(1 / math.sqrt(12), abs=0.01)


@pytest.mark.parametrize("chunk", [2**22, 30])
def test_occupancy_drops_empty_cells_only(monkeypatch, chunk):
    monkeypatch.setattr(march, "_CHUNK", chunk)
    origins, directions = fan()
    everything = march_rays(origins, directions, 1.0, step=0.2)
    expected = everything.keep(sample_points(origins, directions, everything)[:, 0] > 0)
    found = march_rays(origins, directions, 1.0, step=0.2, occupancy=right_half())
    assert 0 < len(found.ray) < len(everything.ray)
    for name in "ray", "t", "delta":
        assert torch.equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("occupancy", [None, right_half()])
def test_cap_keeps_the_nearest_of_every_ray(occupancy):
    origins, directions = fan()
    how = dict(bounds=1.0, step=0.1, occupancy=occupancy)
    everything = march_rays(origins, directions, **how)
    counts = torch.bincount(everything.ray, minlength=50)
    cap = int(counts.sum()) // 2
    found = march_rays(origins, directions, max_samples=cap, **how)
    kept = torch.bincount(found.ray, minlength=50)
    most = int(kept.max())
    assert torch.equal(kept, counts.clamp(max=most))
    assert counts.clamp(max=most).sum() <= cap < counts.clamp(max=most + 1).sum()
    nearest = torch.cat([everything.t[everything.ray == ray][:most] for ray in range(50)])
    assert torch.equal(found.t, nearest)
    assert torch.equal(march_rays(origins, directions, max_samples=10**6, **how).t, everything.t)


@pytest.mark.parametrize("how", [dict(step=0.03), dict(samples=31), dict(step=0.03, max_samples=900)])
@pytest.mark.parametrize("key", [None, 0, 2**64 - 1])
@pytest.mark.parametrize("grid", [False, True])
def test_backends_find_the_same_samples(monkeypatch, how, key, grid):
    occupancy = new_occupancy(torch.tensor([[-1.0, -0.8, -1.1], [0.9, 1.0, 1.0]]), 7)
    binary = torch.rand(7, 7, 7, generator=seeded(3)) < 0.4
    occupancy = OccupancyGrid(occupancy.value, binary, occupancy.bounds) if grid else None

    def march_all():
        return march_rays(*fan(), 1.0, occupancy=occupancy, key=key, **how)

    found = march_all()
    monkeypatch.setenv(backend.VARIABLE, "torch")
    wanted = march_all()
    assert len(found.ray) > 300
    for name in "ray", "t", "delta":
        assert torch.equal(getattr(found, name), getattr(wanted, name))


def test_runs_in_inference_mode():
    wanted = march_rays(*fan(), 1.0, step=0.1, occupancy=right_half()).t
    with torch.inference_mode():
        assert torch.equal(march_rays(*fan(), 1.0, step=0.1, occupancy=right_half()).t, wanted)


def test_cap_below_one_sample_a_ray_is_an_error():
    for occupancy in None, new_occupancy(1.0, 4):
        with pytest.raises(ValueError, match="max_samples is 1, fewer than the 2 rays"):
            march_rays(ORIGINS, DIRECTIONS, 1.0, samples=4, max_samples=1, occupancy=occupancy)


@pytest.mark.parametrize("occupancy", [None, right_half()])
def test_nothing_to_sample(occupancy):
    for rays in 0, 1:
        found = march_rays(ORIGINS[1:1 + rays], DIRECTIONS[1:1 + rays], 1.0, step=0.1, occupancy=occupancy,
                           key=3, max_samples=5)
        assert found.ray.shape == found.t.shape == found.delta.shape == (0,) and found.rays == rays
        assert sample_points(ORIGINS, DIRECTIONS, found).shape == (0, 3)


def test_points_are_differentiable_in_rays():
    origins = ORIGINS.clone().requires_grad_()
    found = march_rays(origins, DIRECTIONS, 1.0, samples=4)
    assert not found.t.requires_grad
    grad, = torch.autograd.grad(sample_points(origins, DIRECTIONS, found).sum(), origins)
    assert grad.tolist() == [[4.0] * 3, [0.0] * 3, [4.0] * 3]


@pytest.mark.parametrize("how", [{}, dict(step=0.1, samples=3), dict(step=0.0), dict(samples=0), dict(step=math.nan)])
def test_bad_steps(how):
    with pytest.raises(ValueError, match="step"):
        march_rays(ORIGINS, DIRECTIONS, 1.0, **how)


def test_gradients_of_sample_points():
    samples = march_rays(ORIGINS, DIRECTIONS, 1.0, samples=3)
    leaves = [one.double().requires_grad_() for one in (ORIGINS, DIRECTIONS)]
    exact = march.RaySamples(samples.ray, samples.t.double(), samples.delta.double(), samples.rays)
    assert len(samples.ray) == 6
    assert gradcheck(lambda *rays: sample_points(*rays, exact), leaves)
