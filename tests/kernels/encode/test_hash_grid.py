import dataclasses

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.encode import corner
from distill3d.kernels.encode.hash_grid import HashGrid, encode_hash_grid

SMALL = HashGrid(levels=3, features=2, log2_size=6, base=3, growth=1.7)  # one dense, two hashed
TINY = HashGrid(levels=2, features=2, log2_size=4, base=2, growth=2.5)  # one dense, one hashed


def random_inputs(layout=SMALL, points=6, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(points, 3, generator=generator, dtype=dtype)
    return x, torch.randn(layout.entries, layout.features, generator=generator, dtype=dtype)


def naive(x, table, layout):
    """One point, level and corner at a time, in Python integers of any size."""
    out = torch.zeros(x.shape[0], layout.levels, layout.features, dtype=x.dtype)
    for n, point in enumerate(x.tolist()):
        for level in range(layout.levels):
            scale, resolution = layout.base * layout.growth**level - 1, layout.resolutions[level]
            cell = [min(int(c * scale), resolution - 2) for c in point]
            for k in range(8):
                corner, weight = [], 1.0
                for axis in range(3):
                    bit, fraction = k >> axis & 1, point[axis] * scale - cell[axis]
                    corner.append(cell[axis] + bit)
                    weight *= fraction if bit else 1 - fraction
                if layout.is_dense(level):
                    row = corner[0] + resolution * (corner[1] + resolution * corner[2])
                else:
                    row = (corner[0] ^ corner[1] * 2654435761 ^ corner[2] * 805459861) % layout.sizes[level]
                out[n, level] += weight * table[layout.offsets[level] + row]
    return out.flatten(1)


def test_default_layout_is_that_of_the_paper():
    layout = HashGrid()
    assert layout.resolutions == (16, 24, 34, 49, 71, 102, 148, 213, 308, 446, 646, 934, 1352, 1956, 2831, 4096)
    assert layout.entries * layout.features == 12_599_920
    assert layout.channels == 32
    assert [layout.is_dense(level) for level in range(16)] == [True] * 5 + [False] * 11
    assert layout.offsets[:3] == (0, 16**3, 16**3 + 24**3)
    assert all(size % 8 == 0 for size in layout.sizes)


def test_layout_is_immutable_and_checked():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SMALL.levels = 4
    with pytest.raises(ValueError, match="levels"):
        HashGrid(levels=0)
    with pytest.raises(ValueError, match="log2_size"):
        HashGrid(log2_size=40)


@pytest.mark.parametrize("features", [1, 2, 3, 4])
def test_equals_the_naive_loop(features):
    layout = dataclasses.replace(SMALL, features=features)
    x, table = random_inputs(layout)
    torch.testing.assert_close(encode_hash_grid(x, table, layout), naive(x, table, layout))


def test_equals_the_naive_loop_at_full_resolution():
    # A sparse table would hide a wrong hash, so every row gets its own number.
    layout = HashGrid(features=1)
    x, _ = random_inputs(HashGrid(levels=1, base=2), points=5)
    table = torch.arange(layout.entries, dtype=torch.float64)[:, None].sin()
    torch.testing.assert_close(encode_hash_grid(x, table, layout), naive(x, table, layout))


def test_wide_indices_equal_the_naive_loop():
    layout = HashGrid(levels=1, features=1, log2_size=20, base=5000)  # 5000 * 2**20 > 2**31: int64
    x, table = random_inputs(layout, points=4)
    torch.testing.assert_close(encode_hash_grid(x, table, layout), naive(x, table, layout))


def test_reproduces_a_linear_function_on_a_dense_level():
    layout = HashGrid(levels=1, features=1, log2_size=12, base=7)
    z, y, x = torch.meshgrid(*[torch.arange(7, dtype=torch.float64)] * 3, indexing="ij")
    table = torch.zeros(layout.entries, 1, dtype=torch.float64)
    table[:343, 0] = (2 * x - 3 * y + 5 * z).flatten() / 6 + 1
    corners = torch.tensor([[0, 0, 0], [1, 1, 1], [1, 0, .5]], dtype=torch.float64)
    points = torch.cat((corners, random_inputs()[0])).requires_grad_()
    value = encode_hash_grid(points, table, layout)
    plane = torch.tensor([2.0, -3, 5], dtype=torch.float64)
    torch.testing.assert_close(value[:, 0], points @ plane + 1)
    slope, = torch.autograd.grad(value.sum(), points)
    torch.testing.assert_close(slope, plane.expand(len(points), 3))


def test_gradients_to_second_order():
    assert [TINY.is_dense(level) for level in range(2)] == [True, False]
    x, table = random_inputs(TINY, points=3)
    leaves = x.requires_grad_(), table.requires_grad_()
    for check in gradcheck, gradgradcheck:
        assert check(lambda x, t: encode_hash_grid(x, t, TINY, active_levels=1.5), leaves)
        assert check(lambda x: encode_hash_grid(x, table.detach(), TINY), leaves[:1])
        assert check(lambda t: encode_hash_grid(x.detach(), t, TINY), leaves[1:])


def test_normals_do_not_pay_for_the_table(monkeypatch):
    x, table = random_inputs()
    out = encode_hash_grid(x.requires_grad_(), table.requires_grad_(), SMALL)
    monkeypatch.setattr(corner, "scatter", None)  # calling it would raise
    monkeypatch.setattr(corner, "scatter_into", None)
    grad, = torch.autograd.grad(out.sum(), x, create_graph=True)
    assert grad.requires_grad


def test_gradients_of_the_table_in_place_and_recorded_agree():
    x, table = random_inputs(points=50)
    table.requires_grad_()
    upstream = torch.randn(50, SMALL.channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for active in None, 1:
        out = encode_hash_grid(x, table, SMALL, active)
        plain, = torch.autograd.grad(out, table, upstream, retain_graph=True)
        recorded, = torch.autograd.grad(out, table, upstream, create_graph=True)
        torch.testing.assert_close(plain, recorded)
        assert plain.abs().sum() > 0


def test_active_levels_fade():
    x, table = random_inputs()
    whole = encode_hash_grid(x, table, SMALL)
    faded = encode_hash_grid(x, table, SMALL, active_levels=1.25)
    expected = whole * torch.tensor([1, 1, .25, .25, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(faded, expected)
    table.requires_grad_()
    grad, = torch.autograd.grad(encode_hash_grid(x, table, SMALL, active_levels=1).sum(), table)
    assert grad[:SMALL.sizes[0]].abs().sum() > 0 and grad[SMALL.sizes[0]:].abs().sum() == 0


def test_outside_is_clamped_without_gradient():
    x, table = random_inputs(dtype=torch.float32)
    x = torch.tensor([[-.5, .3, .3], [.3, 1.5, .3], [0, .3, .3], [.3, 1, .3]]).requires_grad_()
    value = encode_hash_grid(x, table, SMALL)
    torch.testing.assert_close(value[:2], value[2:])
    grad, = torch.autograd.grad(value.sum(), x)
    assert grad[0, 0] == 0 and grad[1, 1] == 0
    assert (grad[2:] != 0).all()


def test_nan_stays_in_its_row():
    x, table = random_inputs()
    x[1, 2] = torch.nan
    value = encode_hash_grid(x, table, SMALL)
    assert value[1].isnan().any() and not value[[0, 2, 3, 4, 5]].isnan().any()


def test_single_precision_is_close():
    x, table = random_inputs(HashGrid(levels=16, log2_size=10), points=200)
    layout = HashGrid(levels=16, log2_size=10)
    single = encode_hash_grid(x.float(), table.float(), layout)
    # x * 4095 in float32 is wrong by up to 2e-4 of a cell.
    torch.testing.assert_close(single.double(), encode_hash_grid(x, table, layout), atol=5e-3, rtol=0)


def test_no_points():
    x, table = random_inputs(points=0)
    table.requires_grad_(), x.requires_grad_()
    out = encode_hash_grid(x, table, SMALL)
    assert out.shape == (0, 6)
    grads = torch.autograd.grad(out.sum(), (x, table))
    assert grads[0].shape == (0, 3) and grads[1].abs().sum() == 0


def test_changing_the_table_before_backward_is_an_error():
    x, table = random_inputs()
    x.requires_grad_(), table.requires_grad_()
    out = encode_hash_grid(x, table, SMALL)
    with torch.no_grad():
        table.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_runs_in_inference_mode():
    x, table = random_inputs()
    with torch.inference_mode():
        torch.testing.assert_close(encode_hash_grid(x, table, SMALL), naive(x, table, SMALL))


def test_bad_arguments():
    x, table = random_inputs()
    with pytest.raises(ShapeError, match="x must have"):
        encode_hash_grid(x[:, :2], table, SMALL)
    with pytest.raises(ShapeError, match="rows"):
        encode_hash_grid(x, table[1:], SMALL)
    with pytest.raises(TypeError, match="float32"):
        encode_hash_grid(x.float(), table, SMALL)
