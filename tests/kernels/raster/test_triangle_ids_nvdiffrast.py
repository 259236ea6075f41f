"""The arguments and results of the call to nvdiffrast, with a stand-in that draws with the reference."""
import sys
import types

import pytest
import torch

import distill3d.kernels.raster.triangle_ids as triangle_ids_module
import foreign_pack
from distill3d.kernels.raster import triangle_ids_nvdiffrast
from distill3d.kernels.raster.triangle_ids import EMPTY, triangle_ids


@pytest.fixture
def nvdiffrast(monkeypatch):
    """Its rasterize: [B,V,4] float32 and [F,3] int32, both contiguous, to [B,H,W,4] whose row 0 is the bottom."""
    seen = []

    def rasterize(context, pos, tri, resolution, grad_db):
        assert pos.dtype == torch.float32 and pos.ndim == 3 and pos.is_contiguous() and pos.isfinite().all()
        assert tri.dtype == torch.int32 and tri.is_contiguous() and context == "context of cpu"
        seen.append(resolution)
        ids = triangle_ids(pos.double(), tri.long(), *resolution).flip(1)
        return torch.stack([*[torch.zeros(ids.shape)] * 3, ids.float()], -1), None

    package, module = types.ModuleType("nvdiffrast"), types.ModuleType("nvdiffrast.torch")
    module.rasterize, module.RasterizeCudaContext = rasterize, lambda device: f"context of {device}"
    package.torch = module
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", module)
    triangle_ids_nvdiffrast._context.cache_clear()
    yield seen
    triangle_ids_nvdiffrast._context.cache_clear()


def test_rows_of_the_picture_are_flipped(nvdiffrast):
    points = torch.tensor([[-1.0, 1, 0, 1], [1, 1, 0, 1], [-1, 0, 0, 1], [torch.nan, 0, 0, 1]], dtype=torch.float64)
    faces = torch.tensor([[0, 1, 3], [0, 1, 2]])
    nearest = torch.full((8 * 6,), EMPTY, dtype=torch.int64)
    triangle_ids_nvdiffrast.lower_keys(points, faces, 8, 6, nearest, 1)
    expected = triangle_ids(points[None], faces, 8, 6)[0]
    assert torch.equal(torch.where(nearest == EMPTY, 0, nearest).view(8, 6), expected)
    assert expected[0, 0] == 2 and expected[7].eq(0).all() and nvdiffrast == [[8, 6]]


def test_it_passes_the_test_before_first_use(nvdiffrast):
    triangle_ids_module._compare(torch.device("cpu"), triangle_ids_module._by_nvdiffrast, 0)


def test_it_passes_in_a_pack_that_is_named_by_a_path(nvdiffrast, monkeypatch):
    pack = foreign_pack.load_for(monkeypatch, "/opt/ComfyUI/custom_nodes/distill3d", "raster.triangle_ids")
    pack._compare(torch.device("cpu"), pack._by_nvdiffrast, 0)
    assert nvdiffrast and pack is not triangle_ids_module


def test_unusable_without_cuda_or_the_package():
    assert "CUDA" in triangle_ids_nvdiffrast.unusable(torch.device("cpu"), torch.float32)
    if "nvdiffrast" not in sys.modules:
        assert "installed" in triangle_ids_nvdiffrast.unusable(torch.device("cuda"), torch.float32)
