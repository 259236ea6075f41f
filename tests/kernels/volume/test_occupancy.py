import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.volume.occupancy import OccupancyGrid, is_occupied, new_occupancy, update_occupancy


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def half_full(points):
    """Density 100 where x > 0."""
    return 100.0 * (points[:, 0] > 0)


def test_new_grid_is_all_occupied():
    grid = new_occupancy(2.0, resolution=4)
    assert grid.binary.all() and grid.binary.shape == (4, 4, 4) and not grid.value.any()
    assert grid.bounds.tolist() == [[-2] * 3, [2] * 3]
    with pytest.raises(ValueError, match="resolution"):
        new_occupancy(1.0, resolution=0)


def test_lookup_follows_the_axes():
    grid = new_occupancy(torch.tensor([[0.0, 0, 0], [1, 2, 4]]), resolution=4)
    binary = torch.zeros(4, 4, 4, dtype=torch.bool)
    binary[1, 2, 3] = True
    grid = OccupancyGrid(grid.value, binary, grid.bounds)
    points = torch.tensor([[0.3, 1.2, 3.5], [0.3, 1.2, 2.9], [0.6, 1.2, 3.5], [0.3, 1.2, 4.0], [0.3, 1.2, 4.1],
                           [torch.nan] * 3])
    assert is_occupied(grid, points).tolist() == [True, False, False, True, False, False]
    assert is_occupied(grid, torch.zeros(0, 3)).shape == (0,)


def test_warmup_looks_at_every_cell_once_inside_it():
    seen = []
    def density_fn(points):
        seen.append(points)
        return half_full(points)
    grid = update_occupancy(new_occupancy(1.0, 4), density_fn, 0.1, step=0, generator=seeded())
    points = torch.cat(seen)
    cells = ((points + 1) * 2).long()
    assert points.shape == (64, 3) and points.abs().max() <= 1
    assert cells.unique(dim=0).shape == (64, 3)
    assert ((points + 1) * 2 - cells).std() > 0.2  # not all at the centres
    assert not grid.binary[:2].any() and grid.binary[2:].all()
    torch.testing.assert_close(grid.value[2:], torch.full((2, 4, 4), 10.0))


def test_value_decays_and_is_a_maximum():
    first = update_occupancy(new_occupancy(1.0, 4), half_full, 0.1, 0, seeded())
    second = update_occupancy(first, lambda p: 95.1 * (p[:, 0] > 0), 0.1, 16, seeded(1))
    torch.testing.assert_close(second.value[2:], torch.full((2, 4, 4), 9.51))
    third = update_occupancy(first, lambda p: 0 * p[:, 0], 0.1, 16, seeded(1))
    torch.testing.assert_close(third.value[2:], torch.full((2, 4, 4), 9.5))


def test_threshold_is_the_smaller_of_mean_and_limit():
    faint = update_occupancy(new_occupancy(1.0, 4), lambda p: 1e-3 + 1e-3 * (p[:, 0] > 0), 1.0, 0, seeded())
    assert not faint.binary[:2].any() and faint.binary[2:].all()  # mean 1.5e-3, below 0.01
    dense = update_occupancy(new_occupancy(1.0, 4), lambda p: 1.0 + 9 * (p[:, 0] > 0), 1.0, 0, seeded())
    assert dense.binary.all()  # mean 5.5: the limit holds


def test_after_warmup_a_part_is_looked_at():
    start = update_occupancy(new_occupancy(1.0, 8), half_full, 0.1, 0, seeded())
    calls = []
    def density_fn(points):
        calls.append(points.shape[0])
        return torch.full((points.shape[0],), 1000.0)
    grid = update_occupancy(start, density_fn, 0.1, 256, seeded())
    changed = grid.value != start.value
    assert sum(calls) == changed.sum() and 512 // 4 < sum(calls) <= 512 // 2
    assert changed[4:].sum() > 1.5 * changed[:4].sum() > 0  # occupied cells are drawn on top
    untouched = ~changed
    assert torch.equal(grid.value[untouched], start.value[untouched])


def test_few_occupied_cells_are_all_looked_at():
    value = torch.zeros(8, 8, 8)
    value[3, 4, 5] = 1.0
    start = OccupancyGrid(value, value > 0, new_occupancy(1.0).bounds)
    for seed in range(5):
        grid = update_occupancy(start, lambda p: 0 * p[:, 0], 0.1, 1000, seeded(seed))
        assert grid.value[3, 4, 5] == pytest.approx(0.95)


def test_input_is_not_changed_and_seed_repeats():
    start = update_occupancy(new_occupancy(1.0, 4), half_full, 0.1, 0, seeded())
    copy = start.value.clone(), start.binary.clone(), start.bounds.clone()
    first, second = (update_occupancy(start, lambda p: p[:, 1].abs(), 0.1, 999, seeded(3)) for _ in range(2))
    assert torch.equal(first.value, second.value) and not torch.equal(first.value, start.value)
    assert all(torch.equal(a, b) for a, b in zip(copy, (start.value, start.binary, start.bounds)))


def test_no_gradient_and_no_poison():
    weight = torch.ones((), requires_grad=True)
    def density_fn(points):
        assert not torch.is_grad_enabled()
        return torch.where(points[:, 0] > 0, weight * torch.nan, 1.0)
    grid = update_occupancy(new_occupancy(1.0, 4), density_fn, 1.0, 0, seeded())
    assert grid.value.isfinite().all() and grid.binary[:2].all() and not grid.binary[2:].any()


def test_wrong_density_shape():
    with pytest.raises(ShapeError, match=r"density_fn\(points\)"):
        update_occupancy(new_occupancy(1.0, 2), lambda p: p[:, :1], 0.1, 0, seeded())
