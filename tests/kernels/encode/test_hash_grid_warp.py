"""Warp's hash grid against the reference."""
import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from distill3d.kernels import backend
from distill3d.kernels.encode import hash_grid
from distill3d.kernels.encode.hash_grid import HashGrid, encode_hash_grid

pytest.importorskip("warp")

LAYOUT = HashGrid(levels=8, features=2, log2_size=10, base=4, growth=1.6)  # both kinds of level


@pytest.fixture(autouse=True)
def warp_is_used(monkeypatch):
    monkeypatch.setenv(backend.VARIABLE, "warp")
    assert backend.pick("encode_hash_grid", torch.device("cpu"), torch.float32) == "warp", backend.reasons()


def inputs(points=3000, layout=LAYOUT, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = 1.2 * torch.rand(points, 3, generator=generator) - 0.1  # some outside
    return (x.requires_grad_(), torch.randn(layout.entries, layout.features, generator=generator).requires_grad_(),
            torch.randn(points, layout.channels, generator=generator))


def by_reference(x, table, layout, active):
    return hash_grid.REFERENCE(x, table, layout, hash_grid._level_weights(layout, active))


def assert_near(found, wanted):
    assert found.dtype != torch.float64
    assert (found.double() - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize("features", [2, 4, 8])
@pytest.mark.parametrize("active", [None, 3.5])
def test_values_and_gradients(features, active):
    layout = HashGrid(levels=8, features=features, log2_size=10, base=4, growth=1.6)
    x, table, upstream = inputs(layout=layout)
    value = encode_hash_grid(x, table, layout, active)
    gradients = torch.autograd.grad(value, (x, table), upstream)
    x64, table64 = x.detach().double().requires_grad_(), table.detach().double().requires_grad_()
    wanted = by_reference(x64, table64, layout, active)
    assert_near(value, wanted)
    for found, expected in zip(gradients, torch.autograd.grad(wanted, (x64, table64), upstream.double())):
        assert expected.abs().sum() > 0
        assert_near(found, expected)


def test_published_layout():
    layout = HashGrid()
    x, table, _ = inputs(500, layout)
    wanted = by_reference(x.detach().double(), table.detach().double(), layout, None)
    assert_near(encode_hash_grid(x.detach(), table.detach(), layout), wanted)


@pytest.mark.parametrize("wanted_of", ["table", "upstream", "x"])
def test_gradients_of_normals(wanted_of):
    x, table, upstream = inputs(400)
    upstream.requires_grad_()
    found = []
    for dtype, run in (torch.float32, encode_hash_grid), (torch.float64, lambda *all: by_reference(*all, None)):
        leaves = {name: one.detach().to(dtype).requires_grad_() for name, one in
                  dict(x=x, table=table, upstream=upstream).items()}
        slope, = torch.autograd.grad(run(leaves["x"], leaves["table"], LAYOUT), leaves["x"], leaves["upstream"],
                                     create_graph=True)
        found += [slope.detach(), *torch.autograd.grad(slope.sin().sum(), leaves[wanted_of])]
    assert_near(found[0], found[2])
    assert found[3].abs().sum() > 0
    assert_near(found[1], found[3])


def test_backward_through_normals_of_a_network():
    # The upstream gradient of the slope depends on x itself here, and backward() wants every leaf, x too.
    weight, found = 0.05 * torch.randn(LAYOUT.channels, generator=torch.Generator().manual_seed(5)), []
    for dtype, run in (torch.float32, encode_hash_grid), (torch.float64, lambda *all: by_reference(*all, None)):
        x, table = (one.detach().to(dtype).requires_grad_() for one in inputs(300)[:2])
        density = (run(x, table, LAYOUT) * weight.to(dtype)).sum(1).tanh()
        slope, = torch.autograd.grad(density.sum(), x, create_graph=True)
        (density.sum() + slope.sin().sum()).backward()
        found.append((x.grad, table.grad))
    for one, wanted in zip(*found):
        assert_near(one, wanted)


def test_third_derivatives_use_the_reference():
    x, table, upstream = inputs(50)
    slope, = torch.autograd.grad(encode_hash_grid(x, table, LAYOUT), x, upstream, create_graph=True)
    twice, = torch.autograd.grad(slope.square().sum(), table, create_graph=True)
    third, = torch.autograd.grad(twice.square().sum(), table)
    x64, table64 = x.detach().double().requires_grad_(), table.detach().double().requires_grad_()
    slope, = torch.autograd.grad(by_reference(x64, table64, LAYOUT, None), x64, upstream.double(), create_graph=True)
    twice, = torch.autograd.grad(slope.square().sum(), table64, create_graph=True)
    assert_near(third, torch.autograd.grad(twice.square().sum(), table64)[0])


def test_training_on_normals_never_differentiates_positions_twice(monkeypatch):
    x, table, upstream = inputs(50)
    slope, = torch.autograd.grad(encode_hash_grid(x, table, LAYOUT), x, upstream, create_graph=True)
    monkeypatch.setattr(hash_grid, "towards_position", None)  # the reference's way there; calling it would raise
    assert torch.autograd.grad(slope.square().sum(), table)[0].abs().sum() > 0


def test_half_tables():
    x, table, upstream = inputs()
    half = table.detach().half().requires_grad_()
    value = encode_hash_grid(x, half, LAYOUT)
    slope, gradient = torch.autograd.grad(value, (x, half), upstream)
    assert value.dtype == slope.dtype == torch.float32 and gradient.dtype == torch.float16
    x64, table64 = x.detach().double().requires_grad_(), half.detach().double().requires_grad_()
    wanted = by_reference(x64, table64, LAYOUT, None)
    wanted_slope, wanted_gradient = torch.autograd.grad(wanted, (x64, table64), upstream.double())
    assert_near(value, wanted)
    assert_near(slope, wanted_slope)
    assert (gradient.double() - wanted_gradient).abs().max() <= 2**-11 * wanted_gradient.abs().max()
    assert_near(by_reference(x, half, LAYOUT, None), wanted)


def test_repeats_bit_for_bit_whatever_the_number_of_threads():
    x, table, upstream = inputs(20_000)

    def once(threads):
        torch.set_num_threads(threads)
        value = encode_hash_grid(x, table, LAYOUT)
        return value, *torch.autograd.grad(value, (x, table), upstream)

    before = torch.get_num_threads()
    try:
        one = once(1)
        for other in once(1), once(2), once(5):
            assert all(torch.equal(a, b) for a, b in zip(one, other))
    finally:
        torch.set_num_threads(before)


def test_nan_stays_in_its_row():
    x, table, _ = (one.detach() for one in inputs(5))
    x[1, 2] = torch.nan
    value = encode_hash_grid(x, table, LAYOUT)
    assert value[1].isnan().any() and not value[[0, 2, 3, 4]].isnan().any()


def test_no_points():
    x, table, upstream = inputs(0)
    value = encode_hash_grid(x, table, LAYOUT)
    slope, gradient = torch.autograd.grad(value, (x, table), upstream)
    assert value.shape == (0, 16) and slope.shape == (0, 3) and not gradient.any()


def test_views_are_taken_as_they_are():
    x, table, _ = inputs(60)
    wide = torch.cat([x, x], 1).detach()[::2, 3:]
    assert not wide.is_contiguous()
    assert_near(encode_hash_grid(wide, table, LAYOUT), by_reference(wide.double(), table.double(), LAYOUT, None))


def test_odd_features_and_double_precision_take_the_reference():
    layout = HashGrid(levels=2, features=3, log2_size=6, base=3)
    x, table, _ = inputs(20, layout)
    torch.testing.assert_close(encode_hash_grid(x, table, layout), by_reference(x, table, layout, None))
    assert backend.pick("encode_hash_grid", torch.device("cpu"), torch.float64) == "torch"
    assert "float32 only" in backend.reasons()["encode_hash_grid", "warp"]


def test_inference_mode():
    x, table, _ = inputs()
    wanted = by_reference(x.double(), table.double(), LAYOUT, None).detach()
    with torch.inference_mode():
        assert_near(encode_hash_grid(x.clone(), table, LAYOUT), wanted)


def test_two_python_threads_at_once():
    x, table, upstream = inputs()
    wanted = torch.autograd.grad(encode_hash_grid(x, table, LAYOUT), (x, table), upstream)
    wrong = []

    def work():
        for _ in range(20):
            found = torch.autograd.grad(encode_hash_grid(x, table, LAYOUT), (x, table), upstream)
            wrong.extend(not torch.equal(a, b) for a, b in zip(found, wanted))

    threads = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(wrong) == 80 and not any(wrong)


_FORKING = """
import multiprocessing, torch
from distill3d.kernels import warp_runtime
from test_hash_grid_warp import LAYOUT, encode_hash_grid, inputs
# torch's own threads do not survive a fork, so only what runs Warp believes in two of them.
torch.set_num_threads(1)
warp_runtime.torch.get_num_threads = lambda: 2

def sums():
    x, table, upstream = inputs(20_000)
    value = encode_hash_grid(x, table, LAYOUT)
    return [float(one.detach().double().sum()) for one in (value, torch.autograd.grad(value, table, upstream)[0])]

wanted, context = sums(), multiprocessing.get_context("fork")
results = context.Queue()
child = context.Process(target=lambda: results.put(sums()), daemon=True)
child.start()
assert results.get(timeout=100) == wanted
"""


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
def test_after_a_fork():
    # In a process of its own: threads that torch has started in this one would hang the child.
    ended = subprocess.run([sys.executable, "-c", _FORKING], capture_output=True, text=True, timeout=150,
                           cwd=Path(__file__).parent)
    assert ended.returncode == 0, ended.stderr
