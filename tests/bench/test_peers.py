"""The adapters call the libraries' functions with valid arguments: stand-ins check the arguments and return results."""
import sys
from types import ModuleType

import pytest
import torch

from . import case, kernels, peers
from .case import Case, Peer, Row, measure, memory_bandwidth
from .table import kernel_table

CPU = torch.device("cpu")


@pytest.fixture
def stand_ins(monkeypatch):
    """All four libraries, on the processor. Returns what was called."""
    calls = []

    class Encoding(torch.nn.Module):
        def __init__(self, n_input_dims, encoding_config, seed=1337, dtype=None):
            super().__init__()
            assert n_input_dims == 3 and encoding_config["otype"] == "HashGrid" and dtype == torch.float32
            assert ({"n_levels", "n_features_per_level", "log2_hashmap_size", "base_resolution", "per_level_scale"}
                    < set(encoding_config))
            self.params, self.width = torch.nn.Parameter(torch.ones(5)), encoding_config["n_levels"]

        def forward(self, x):
            calls.append("encode")
            return x[:, :1] * self.params.sum().expand(self.width)

    class OccGridEstimator(torch.nn.Module):
        def __init__(self, roi_aabb, resolution=128, levels=1):
            super().__init__()
            assert len(roi_aabb) == 6 and roi_aabb[0] < roi_aabb[3]
            self.register_buffer("binaries", torch.zeros(levels, *[resolution] * 3, dtype=torch.bool))

        def sampling(self, rays_o, rays_d, render_step_size=1e-3):
            calls.append("sampling")
            assert (rays_o.shape == rays_d.shape and self.binaries.any() and not self.binaries.all()
                    and render_step_size > 0)
            return torch.zeros(2, dtype=torch.long), torch.zeros(2), torch.ones(2)

    def render_weight_from_density(t_starts, t_ends, sigmas, packed_info=None, ray_indices=None, n_rays=None):
        assert t_starts.shape == t_ends.shape == sigmas.shape == ray_indices.shape and ray_indices.max() < n_rays
        alphas = 1 - torch.exp(-sigmas * (t_ends - t_starts))
        return alphas, alphas, alphas

    def accumulate_along_rays(weights, values=None, ray_indices=None, n_rays=None):
        calls.append("accumulate")
        values = weights[:, None] if values is None else weights[:, None] * values
        return torch.zeros(n_rays, values.shape[1]).index_add(0, ray_indices, values)

    def rasterize(context, pos, tri, resolution, ranges=None, grad_db=True):
        assert pos.ndim == 3 and pos.shape[2] == 4 and pos.is_contiguous() and tri.dtype == torch.int32 and not grad_db
        return pos.new_zeros(1, *resolution, 4), None

    def interpolate(attr, rast, tri):
        assert attr.ndim == 3
        return attr.mean((0, 1)).expand(*rast.shape[:3], -1), None

    def antialias(color, rast, pos, tri):
        calls.append("antialias")
        assert color.shape[:3] == rast.shape[:3]
        return color + 0 * pos.sum()

    def rasterization(means, quats, scales, opacities, colors, viewmats, Ks, width, height, near_plane=0.01,
                      packed=True):
        calls.append("splat")
        count = len(means)
        shapes = [(count, 3), (count, 4), (count, 3), (count,), (count, 3), (1, 4, 4), (1, 3, 3)]
        assert [tuple(one.shape) for one in (means, quats, scales, opacities, colors, viewmats,
                                             Ks)] == shapes and not packed
        seen = viewmats[0] @ torch.tensor([0.0, 0.0, 0.0, 1.0])  # the origin, which the camera looks at
        assert seen[2] > 2 and seen[:2].abs().max() < 1e-5
        pixel = Ks[0] @ seen[:3] / seen[2]
        assert pixel.tolist() == pytest.approx([width / 2, height / 2, 1], abs=1e-3)
        value = sum(one.sum() for one in (means, quats, scales, opacities, colors))
        return value.expand(1, height, width, 3), value.expand(1, height, width, 1), {}

    members = {"tinycudann": dict(Encoding=Encoding),
               "nerfacc": dict(OccGridEstimator=OccGridEstimator, render_weight_from_density=render_weight_from_density,
                               accumulate_along_rays=accumulate_along_rays),
               "nvdiffrast.torch": dict(RasterizeCudaContext=lambda device: None, rasterize=rasterize,
                                        interpolate=interpolate, antialias=antialias),
               "gsplat": dict(rasterization=rasterization)}
    for name, content in members.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setitem(sys.modules, "nvdiffrast", ModuleType("nvdiffrast"))
    monkeypatch.setattr(peers, "_load", lambda name, kind, load=peers._load.__wrapped__: load(name, "cuda"))
    return calls


@pytest.mark.parametrize("make, size, name, call", [
    (kernels._hash_grid, 8, "tiny-cuda-nn alone", "encode"), (kernels._composite, 500, "nerfacc alone", "accumulate"),
    (kernels._march, (4, 1), "nerfacc alone", "sampling"), (kernels._draw, (8, 16), "nvdiffrast alone", "antialias"),
    (kernels._splats, (20, 16), "gsplat alone", "splat")])
def test_a_peer_is_timed_beside_our_backends(stand_ins, monkeypatch, make, size, name, call):
    monkeypatch.setenv("DISTILL3D_BACKEND", "torch")
    rows = measure(make(size, True, CPU), 1, CPU)
    assert [row.backend for row in rows] == ["torch", name] and call in stand_ins
    assert rows[1].forward > 0 and (rows[1].backward is None) == (rows[0].backward is None)
    assert name in kernel_table(rows)


def test_missing_packages_are_reported():
    assert set(peers.missing(CPU)) == set(peers.MODULES)
    absent = peers._load.__wrapped__("gsplat", "cuda")
    assert isinstance(absent, ModuleType) or "cannot be imported" in absent


def test_a_library_that_fails_on_import_is_only_missing(monkeypatch):
    def fail(name):
        raise OSError("no compiler")

    monkeypatch.setattr(peers.importlib, "import_module", fail)
    assert peers._load.__wrapped__("nerfacc", "cuda") == "it cannot be imported (OSError: no compiler)"


def test_floors_are_the_bytes_that_must_move():
    leaf = torch.ones(1000, requires_grad=True)
    double = Case("double", "1000", lambda: 2 * leaf, [leaf], inputs=[leaf],
                  peers=[Peer("other", lambda: leaf + leaf, [leaf])])
    rows = measure(double, 1, CPU, bandwidth=1e6)
    assert [(row.forward_floor, row.backward_floor) for row in rows] == [(8.0, 8.0)] * 2
    table = kernel_table([Row("double", "1000", "torch", 16.0, 32.0, None, 8.0, 8.0),
                          Row("none", "1", "torch", 1.0, None, None)])
    assert "of floor" in table and "50%, 25%" in table and table.splitlines()[-1].endswith("-")
    assert "of floor" not in kernel_table(measure(double, 1, CPU))


def test_bandwidth_is_read_and_written_bytes_over_time(monkeypatch):
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr(case, "now", lambda device: next(clock))
    assert memory_bandwidth(CPU, 1000) == pytest.approx(1e6)
