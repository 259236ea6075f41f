import math

import pytest
import torch
import torch.nn.functional as F

from distill3d.kernels.checks import ShapeError
from distill3d.kernels.shade.environment import (
    Environment,
    diffuse_light,
    ggx_distribution,
    panorama_directions,
    prepare_environment,
    reflected_light,
)
from distill3d.kernels.shade.split_sum import _lookup, brdf_table, shade_split_sum


def directions(count=50):
    return F.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(2)), dim=1)


def lamp(towards, power=40):
    around, _ = panorama_directions(64, 128, torch.zeros(1))
    return 5 * (around @ F.normalize(torch.tensor(towards), dim=0)).clamp(min=0)[..., None].expand(-1, -1, 3) ** power


def test_texels_cover_the_sphere():
    around, area = panorama_directions(32, 64, torch.zeros(1, dtype=torch.float64))
    assert area.sum().item() == pytest.approx(4 * math.pi)
    assert (around * area[..., None]).sum((0, 1)).abs().max() < 1e-9
    assert around[16, 32, 0] > 0.99 and around[0, 0, 2] > 0.99 and around[16, 48, 1] < -0.99


def test_even_light_stays_even():
    environment = prepare_environment(torch.full((16, 32, 3), 0.7))
    n = directions()
    torch.testing.assert_close(diffuse_light(environment, n), torch.full((50, 3), 0.7), atol=1e-3, rtol=0)
    for roughness in (0.0, 0.2, 0.6, 1.0):
        torch.testing.assert_close(reflected_light(environment, n, torch.full((50,), roughness)),
                                   torch.full((50, 3), 0.7), atol=1e-4, rtol=0)


@pytest.mark.parametrize("towards", [(1.0, 0.2, 0.3), (-1.0, 0.0, 0.1), (0.0, -1.0, -0.5), (0.1, 0.0, 1.0)])
def test_a_lamp_is_reflected_in_its_direction(towards):
    environment, n = prepare_environment(lamp(towards)), directions(4000)
    there = F.normalize(torch.tensor(towards), dim=0)
    for roughness in (0.0, 0.3, 0.7):
        seen = reflected_light(environment, n, torch.full((4000,), roughness))[:, 0]
        assert n[seen.argmax()] @ there > 0.98
    assert n[diffuse_light(environment, n)[:, 0].argmax()] @ there > 0.95


def test_lobes_are_those_of_the_integral():
    """Against a sum over the whole panorama, at its full resolution."""
    panorama = lamp((1.0, 0.5, 0.4), 8)
    around, area = (part.flatten(0, 1) for part in panorama_directions(64, 128, panorama))
    environment, n = prepare_environment(panorama), directions()
    for roughness in (0.3, 0.5, 1.0):
        cosine = n @ around.T
        weight = ggx_distribution(((1 + cosine) / 2).clamp(min=0).sqrt(), roughness**2) * cosine.clamp(min=0) * area
        expected = weight @ panorama.reshape(-1, 3) / weight.sum(1, keepdim=True)
        torch.testing.assert_close(reflected_light(environment, n, torch.full((50,), roughness)), expected, atol=0.06,
                                   rtol=0)
    expected = (cosine.clamp(min=0) * area) @ panorama.reshape(-1, 3) / math.pi
    torch.testing.assert_close(diffuse_light(environment, n), expected, atol=0.06, rtol=0)


def test_a_mirror_of_white_metal_loses_little():
    """Known values of the table: a smooth surface mirrors F0 head-on, and all light at grazing angles."""
    table = brdf_table()
    assert table.min() >= 0 and table.sum(-1).max() < 1.02
    torch.testing.assert_close(table[0, -1], torch.tensor([1.0, 0.0]), atol=2e-3, rtol=0)
    assert table[0, 1, 1] > 0.8 and table[-1, -1].sum() < 0.65
    for n_v in (10, 20):
        c = n_v / 31
        torch.testing.assert_close(table[0, n_v], torch.tensor([1 - (1 - c) ** 5, (1 - c) ** 5]), atol=5e-3, rtol=0)


def reflected_share(n_v, roughness, points=1500):
    """A and B by the definition: the BRDF of GGX, D F G / (4 n.l n.v), times n.l over the hemisphere of lights,
    float64."""
    alpha = max(roughness, 0.02) ** 2
    u = (torch.arange(points, dtype=torch.float64) + 0.5) / points
    # Half vectors on a grid that is fine around the mirror's; dl = 4 v.h dh.
    theta = (math.pi / 2) * u**3
    phi = 2 * math.pi * u
    theta, phi = torch.meshgrid(theta, phi, indexing="ij")
    area = theta.sin() * (math.pi / 2) * 3 * (u**2)[:, None] / points * 2 * math.pi / points
    n_h, s_v = theta.cos(), (1 - n_v**2) ** 0.5
    v_h = s_v * theta.sin() * phi.cos() + n_v * n_h
    n_l = 2 * v_h * n_h - n_v
    distribution = alpha**2 / (math.pi * (n_h**2 * (alpha**2 - 1) + 1) ** 2)
    smith = lambda c: (alpha**2 + (1 - alpha**2) * c**2).sqrt()  # noqa: E731
    view = torch.tensor(n_v, dtype=torch.float64)
    shadow = 2 * n_l * n_v / (n_l * smith(view) + n_v * smith(n_l))
    value = torch.where((n_l > 0) & (v_h > 0), distribution * shadow / (4 * n_l * n_v) * n_l * 4 * v_h * area, 0.0)
    fresnel = (1 - v_h.clamp(0, 1)) ** 5
    return torch.stack([(value * (1 - fresnel)).sum(), (value * fresnel).sum()])


@pytest.mark.parametrize("n_v", [0.01, 0.05, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("roughness", [0.05, 0.1, 0.25, 0.5, 1.0])
def test_the_table_is_the_integral(roughness, n_v):
    expected = reflected_share(n_v, roughness).float()
    found = _lookup(torch.tensor([[n_v]]), torch.tensor([[roughness]]))[0]
    torch.testing.assert_close(found, expected, atol=3e-3, rtol=0)


def test_nodes_of_the_table_are_the_integral():
    table = brdf_table()
    for row, column in ((2, 1), (3, 3), (8, 1), (16, 10), (31, 31)):
        torch.testing.assert_close(table[row, column], reflected_share(column / 31, row / 31).float(), atol=1.5e-3,
                                   rtol=0)
    assert brdf_table() is table  # computed once


def test_plastic_and_metal():
    environment = prepare_environment(torch.ones(16, 32, 3))
    n, one = torch.tensor([[1.0, 0, 0]]), torch.ones(1, 1)
    albedo = torch.tensor([[0.8, 0.4, 0.1]])
    smooth = 0.1 * one
    plastic = shade_split_sum(environment, albedo, 0 * one, smooth, n, -n)
    metal = shade_split_sum(environment, albedo, one, smooth, n, -n)
    torch.testing.assert_close(plastic, albedo + 0.04, atol=5e-3, rtol=0)
    torch.testing.assert_close(metal, albedo, atol=5e-3, rtol=0)


def test_gradcheck():
    generator = torch.Generator().manual_seed(4)
    environment = prepare_environment(lamp((1.0, 0.5, 0.4), 8).double())
    environment = Environment(environment.irradiance.double(), environment.reflected.double())
    values = [torch.rand(3, channels, dtype=torch.float64, generator=generator) * 0.9 + 0.05 for channels in (3, 1, 1)]
    n, d = directions(6).double().split(3)
    d = -F.normalize(n + 0.5 * d, dim=1)
    inputs = [value.requires_grad_() for value in (*values, n, d)]
    assert torch.autograd.gradcheck(lambda *given: shade_split_sum(environment, *given), inputs, eps=1e-7, atol=1e-4)


def test_straight_up_has_a_gradient():
    up = torch.tensor([[0.0, 0, 1], [0, 0, -1]], requires_grad=True)
    reflected_light(prepare_environment(lamp((1.0, 0.5, 0.4))), up, torch.tensor([0.1, 0.5])).sum().backward()
    assert up.grad.isfinite().all()


def test_shapes():
    environment = prepare_environment(torch.ones(4, 8, 3))
    three, one = torch.rand(2, 3), torch.rand(2, 1)
    with pytest.raises(ShapeError, match="metallic"):
        shade_split_sum(environment, three, three, one, three, three)
    with pytest.raises(ShapeError, match="panorama"):
        prepare_environment(torch.ones(4, 8, 1))
    none = torch.zeros(0, 3)
    assert shade_split_sum(environment, none, none[:, :1], none[:, :1], none, none).shape == (0, 3)
