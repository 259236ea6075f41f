import math

import pytest
import torch

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.distill.surface_noise import cube_size, over_background, renewed, surface_noise


def plane(h, per=8, extent=2.0, shift=0.0, tilt=0.0):
    """Points of a plane z = tilt x seen from above by h x h pixels, per x per points each: [h,h,per^2,3]."""
    at = (torch.arange(h * per) + 0.5) / (h * per) * extent - extent / 2 + shift
    y, x = torch.meshgrid(at, at, indexing="ij")
    points = torch.stack([x, y, tilt * x], -1)
    return points.view(h, per, h, per, 3).transpose(1, 2).reshape(h, h, per * per, 3)


KEYS = [int(number) for number in torch.randint(2**62, (60,), generator=torch.Generator().manual_seed(0))]
SIZE = cube_size(2.0 / 32)


def test_it_is_standard_normal_at_every_pixel():
    fields = torch.stack([surface_noise(plane(32), SIZE, key, 4) for key in KEYS[:40]])
    assert abs(float(fields.mean())) < 0.01 and abs(float(fields.var()) - 1) < 0.02
    assert float((fields.square().mean((0, 1)) - 1).abs().max()) < 6 * math.sqrt(2 / 160)  # no pixel stands out
    assert abs(float(fields.pow(4).mean()) - 3) < 0.1


def test_neighbours_share_little():
    """What two pixels share is cubes on their border; with whole cubes in each pixel, nothing."""
    fields = torch.stack([surface_noise(plane(32), SIZE, key, 4) for key in KEYS[:20]])
    assert abs(float((fields[..., 1:] * fields[..., :-1]).mean())) < 0.02
    shifted = torch.stack([surface_noise(plane(32, shift=SIZE / 3), SIZE, key, 4) for key in KEYS[:20]])
    assert abs(float((shifted[..., 1:] * shifted[..., :-1]).mean())) < 0.25


def test_another_view_of_the_same_surface_sees_the_same_noise():
    """A view moved by four pixels sees the field moved by four pixels; one with another key nothing of it."""
    field, moved = (surface_noise(plane(32, shift=shift), SIZE, KEYS[0], 4) for shift in (0.0, 4 * 2.0 / 32))
    assert torch.allclose(field[:, 4:, 4:], moved[:, :-4, :-4], atol=1e-5)
    other = surface_noise(plane(32), SIZE, KEYS[1], 4)
    assert abs(float((field * other).mean())) < 0.06
    half = surface_noise(plane(32, shift=1.0 / 64), SIZE, KEYS[0], 4)  # moved by a quarter of a pixel
    assert float((field * half).mean()) > 0.5


def test_sizes_are_powers_of_two_below_the_footprint():
    for footprint in (0.01, 0.03, 0.0625, 0.1):
        size = cube_size(footprint)
        assert footprint / 8 < size <= footprint / 4 and math.log2(size) == int(math.log2(size))


def test_renewal_keeps_the_variance_and_forgets():
    first, second = torch.randn(2, 100_000, generator=torch.Generator().manual_seed(0))
    for share in (0.0, 0.3, 0.5, 1.0):
        assert abs(float(renewed(first, second, share).var()) - 1) < 0.02
    assert torch.equal(renewed(first, second, 0.0), first)
    assert abs(float((renewed(first, second, 1.0) * first).mean())) < 0.02


def test_over_background_keeps_the_variance():
    first, second = torch.randn(2, 4, 3, 100, 100, generator=torch.Generator().manual_seed(0))
    assert abs(float(over_background(first, second, torch.full((4, 1, 100, 100), 0.3)).var()) - 1) < 0.02


def test_shapes_are_checked():
    with pytest.raises(ShapeError, match="points"):
        surface_noise(torch.zeros(4, 4, 3), SIZE, 0, 4)
