import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.lens import to_clip
from distill3d.kernels.raster.footprint import uv_footprint
from distill3d.kernels.raster.interpolate import interpolate
from distill3d.kernels.raster.rasterize import rasterize
from distill3d.kernels.raster.texture import mip_pyramid, sample_mip
from distill3d.kernels.uv.bake import sample_texture


def random(*shape):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def floor(size=48, tilt=0.35):
    """A square of side 4 around the origin, uv from 0 to 1, seen at a slant: clip positions, faces, uv."""
    from distill3d.nodes.core.cameras import orbit
    camera = orbit(0.3, tilt, 3.0, math.radians(50), size, size)
    vertices = torch.tensor([[-2.0, -2, 0], [2, -2, 0], [2, 2, 0], [-2, 2, 0]], dtype=torch.float64)
    clip = to_clip(vertices, camera.c2w.double(), camera.fovy.double(), size, size)
    return clip, torch.tensor([[0, 1, 2], [0, 2, 3]]), (vertices[:, :2] + 2) / 4


def test_the_pyramid_keeps_the_mean():
    pyramid = mip_pyramid(random(8, 16, 3))
    assert [tuple(level.shape[:2]) for level in pyramid] == [(8, 16), (4, 8), (2, 4), (1, 2)]
    for level in pyramid:
        torch.testing.assert_close(level.mean((0, 1)), pyramid[0].mean((0, 1)))
    assert [tuple(level.shape[:2]) for level in mip_pyramid(random(5, 7, 1), 2)] == [(5, 7), (3, 4)]


def test_small_footprints_see_the_finest_level():
    texture, uv = random(8, 8, 2), random(20, 2)
    pyramid = mip_pyramid(texture)
    expected = sample_texture(texture, uv)
    for footprint in (None, torch.zeros(20), torch.full((20,), 1 / 8), torch.full((20,), torch.nan)):
        torch.testing.assert_close(sample_mip(pyramid, uv, footprint), expected)


def test_levels_are_mixed_by_the_logarithm():
    pyramid, uv = mip_pyramid(random(16, 16, 2)), random(20, 2)
    two = sample_mip(pyramid, uv, torch.full((20,), 2 / 16))
    four = sample_mip(pyramid, uv, torch.full((20,), 4 / 16))
    torch.testing.assert_close(two, sample_texture(pyramid[1], uv))
    torch.testing.assert_close(sample_mip(pyramid, uv, torch.full((20,), 2**1.5 / 16)), (two + four) / 2, atol=1e-6,
                               rtol=0)
    torch.testing.assert_close(sample_mip(pyramid, uv, torch.full((20,), 99.0)), pyramid[-1][0].expand(20, 2))


def test_gradcheck():
    footprint = torch.tensor([0.0, 0.2, 0.4, 3.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda t, uv: sample_mip(mip_pyramid(t), uv, footprint),
                                    (random(4, 6, 2).requires_grad_(), random(4, 2).requires_grad_()))


def test_the_footprint_is_the_difference_between_neighbours():
    clip, faces, uv = floor(200)
    rast = rasterize(clip, faces, (200, 200))
    found, where = uv_footprint(clip, faces, uv, faces, rast)[0], interpolate(uv, rast, faces)[0]
    seen = rast[0, ..., 3] > 0
    middle = seen[1:-1, 1:-1] & seen[1:-1, 2:] & seen[1:-1, :-2] & seen[2:, 1:-1] & seen[:-2, 1:-1]
    across = (where[1:-1, 2:] - where[1:-1, :-2]).norm(dim=-1) / 2
    down = (where[2:, 1:-1] - where[:-2, 1:-1]).norm(dim=-1) / 2
    torch.testing.assert_close(found[1:-1, 1:-1][middle], torch.maximum(across, down)[middle], rtol=0.02, atol=0)
    assert found[~seen].eq(0).all() and middle.sum() > 5000


def test_mip_levels_calm_a_fine_pattern():
    """A chequered floor in the distance: nearer to the mean of many samples than one lookup per pixel is."""
    clip, faces, uv = floor()
    line = torch.arange(256)
    texture = ((line[:, None] // 2 + line // 2) % 2).double()[..., None]
    pyramid = mip_pyramid(texture)

    def picture(factor, mips):
        rast = rasterize(clip, faces, (48 * factor, 48 * factor))
        footprint = uv_footprint(clip, faces, uv, faces, rast).flatten() if mips else None
        seen = sample_mip(pyramid, interpolate(uv, rast, faces).view(-1, 2), footprint).view(48, factor, 48, factor)
        return seen.mean((1, 3)) * (rast[0, ..., 3].view(48, factor, 48, factor) > 0).all(3).all(1)
    fine = picture(8, False)
    assert (picture(1, True) - fine).abs().mean() < 0.4 * (picture(1, False) - fine).abs().mean()


def test_shapes():
    with pytest.raises(ShapeError, match="texture"):
        mip_pyramid(torch.rand(4, 4))
    with pytest.raises(ShapeError, match="footprint"):
        sample_mip(mip_pyramid(torch.rand(4, 4, 1)), torch.rand(3, 2), torch.rand(2))
    assert sample_mip(mip_pyramid(torch.rand(4, 4, 3)), torch.rand(0, 2), torch.rand(0)).shape == (0, 3)
