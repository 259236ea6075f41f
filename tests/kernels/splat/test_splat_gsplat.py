"""The arguments and results of the call to gsplat, with a stand-in that goes through its tiles."""
import sys
import types

import pytest
import torch

import distill3d.kernels.splat.splat as splat_module
import foreign_pack
from distill3d.kernels import backend
from distill3d.kernels.splat import splat_gsplat
from distill3d.kernels.splat.splat import splat

from .test_splat import gaussians, view


@pytest.fixture
def gsplat(monkeypatch):
    """Its rasterize_to_pixels: means2d [B,N,2], conics [B,N,3], colors [B,N,K], opacities [B,N], isect_offsets [B,h,w]
    and flatten_ids [P] int32, the former where each tile's part of the latter begins."""
    seen = []

    def rasterize_to_pixels(means2d, conics, colors, opacities, image_width, image_height, tile_size, isect_offsets,
                            flatten_ids, backgrounds=None, masks=None, packed=False, absgrad=False):
        assert all(one.is_contiguous() and one.dtype == torch.float32 for one in (means2d, conics, opacities))
        assert isect_offsets.dtype == flatten_ids.dtype == torch.int32 and tile_size == 16
        assert colors.shape[-1] in (1, 2, 3, 4, 5, 8, 9, 16, 17, 32)
        seen.append(colors.shape[-1])
        ends = [*isect_offsets.flatten().tolist()[1:], len(flatten_ids)]
        means2d, conics, colors, opacities = (one.flatten(0, 1)
                                              for one in (means2d, conics, colors, opacities[..., None]))
        pictures = []
        row, column = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(16) + 0.5, indexing="ij")
        for tile in range(isect_offsets.numel()):
            top, left = (16 * (tile // isect_offsets.shape[2] % isect_offsets.shape[1]),
                         16 * (tile % isect_offsets.shape[2]))
            light, sums, open_ = torch.ones(16, 16), torch.zeros(16, 16, colors.shape[1]), torch.ones(16, 16,
                                                                                                      dtype=torch.bool)
            for g in flatten_ids[isect_offsets.flatten()[tile]:ends[tile]].tolist():
                x, y = column + left - means2d[g, 0], row + top - means2d[g, 1]
                power = 0.5 * (conics[g, 0] * x * x + conics[g, 2] * y * y) + conics[g, 1] * x * y
                alpha = (opacities[g, 0] * torch.exp(-power)).clamp(max=0.99)
                alpha = torch.where(alpha < 1 / 255, 0.0, alpha)
                open_ = open_ & (light * (1 - alpha) > 1e-4)
                weight = torch.where(open_, light * alpha, 0.0)
                sums, light = sums + weight[..., None] * colors[g], light - weight
            pictures.append(torch.cat([sums, 1 - light[..., None]], -1))
        drawn = torch.stack(pictures).view(*isect_offsets.shape, 16, 16, -1).transpose(2, 3).flatten(1, 2).flatten(2, 3)
        drawn = drawn[:, :image_height, :image_width]
        return drawn[..., :-1], drawn[..., -1:]

    module = types.ModuleType("gsplat")
    module.rasterize_to_pixels = rasterize_to_pixels
    monkeypatch.setitem(sys.modules, "gsplat", module)
    return seen


def test_it_passes_the_test_before_first_use(gsplat):
    splat_module._self_test(torch.device("cpu"), splat_module._by_gsplat)
    assert gsplat == [2]


def test_it_passes_in_a_pack_that_is_named_by_a_path(gsplat, monkeypatch):
    pack = foreign_pack.load_for(monkeypatch, "/opt/ComfyUI/custom_nodes/distill3d", "splat.splat")
    pack._self_test(torch.device("cpu"), pack._by_gsplat)
    assert gsplat == [2] and pack is not splat_module


@pytest.mark.parametrize("features, channels", [(3, [4]), (6, [8]), (33, [32, 2])])
def test_it_draws_what_the_reference_draws(gsplat, monkeypatch, features, channels):
    given = [one.float() for one in gaussians(6)]
    given[3] *= 0.9
    given[4] = torch.rand(2, 6, features, generator=torch.Generator().manual_seed(0))
    camera = view(2, 18, 20, torch.float32)
    wanted = splat(*given, *camera)
    monkeypatch.setattr(splat_gsplat, "unusable", lambda device, dtype: None)
    monkeypatch.setenv(backend.VARIABLE, "gsplat")
    monkeypatch.setattr(backend, "_verdicts", {})
    found = splat(*given, *camera)
    assert gsplat == [2, *channels] and wanted.opacity.max() > 0.5
    for one, other in zip(found, wanted):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_unusable_without_cuda_or_the_package():
    assert "CUDA" in splat_gsplat.unusable(torch.device("cpu"), torch.float32)
    assert "float64" in splat_gsplat.unusable(torch.device("cuda"), torch.float64)
    if "gsplat" not in sys.modules:
        assert "installed" in splat_gsplat.unusable(torch.device("cuda"), torch.float32)
