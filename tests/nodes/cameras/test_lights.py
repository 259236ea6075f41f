"""The three lights: each is a small sampler with the same contract."""
import math

import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes.cameras.dreamfusion_light import DreamFusionLight, DreamFusionLightNode
from distill3d.nodes.cameras.headlight import CameraLight, CameraLightNode
from distill3d.nodes.cameras.magic3d_light import Magic3DLight, Magic3DLightNode
from distill3d.nodes.core.cameras import orbit
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams

COUNT = 2000
CAMERAS = orbit(torch.linspace(-3, 3, COUNT), torch.linspace(-1.5, math.pi / 2, COUNT), 2.0, 0.7, 4, 4)
LIGHTS = [DreamFusionLight(), Magic3DLight(), Magic3DLight(soft_shading=True), CameraLight()]


def sample(light, cameras=CAMERAS, step=0, seed=0):
    return light.sample(cameras, step, 10, Streams(seed, step))


def angle(light):
    """Degrees between light and camera, seen from the origin."""
    cosine = (F.normalize(light.position, dim=-1) * F.normalize(CAMERAS.position, dim=-1)).sum(-1)
    return torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))


@pytest.mark.parametrize("light", LIGHTS)
def test_contract(light):
    drawn = sample(light)
    assert drawn.position.shape == (COUNT, 3) and drawn.ambient.shape == drawn.diffuse.shape == (COUNT,)
    assert torch.isfinite(drawn.position).all()
    assert torch.allclose(drawn.ambient + drawn.diffuse, torch.ones(COUNT))
    assert torch.equal(drawn.position, sample(light).position)
    assert not torch.equal(drawn.position, sample(light, step=1).position)
    assert sample(light, CAMERAS.take([])).position.shape == (0, 3)


@pytest.mark.parametrize("light", LIGHTS[:3])
def test_distance_range(light):
    distance = sample(light).position.norm(dim=-1)
    assert 0.7999 <= distance.min() < 0.81 and 1.49 < distance.max() <= 1.5001
    assert distance.mean().item() == pytest.approx(1.15, abs=0.02)


def test_dreamfusion_light_is_the_shifted_camera():
    drawn = sample(DreamFusionLight())
    generator = torch.Generator().manual_seed(5)
    expected = F.normalize(CAMERAS.position + torch.randn(COUNT, 3, generator=generator), dim=-1)
    cosines = (expected * F.normalize(CAMERAS.position, dim=-1)).sum(-1).mean()
    assert torch.cos(torch.deg2rad(angle(drawn))).mean().item() == pytest.approx(cosines.item(), abs=0.03)
    assert torch.equal(drawn.ambient, torch.full((COUNT,),
                                                 0.1)) and torch.equal(drawn.diffuse, torch.full((COUNT,), 0.9))
    assert angle(sample(DreamFusionLight(spread=0.0))).max() < 0.1


def test_magic3d_light_is_uniform_in_the_angle_up_to_60_degrees():
    off = angle(sample(Magic3DLight()))
    assert off.max() <= 60.01 and off.max() > 59
    assert off.median().item() == pytest.approx(30, abs=2)


def test_magic3d_light_lies_on_all_sides_of_the_camera():
    side = (sample(Magic3DLight()).position[:, None] @ CAMERAS.c2w[:, :3, :2])[:, 0]
    assert ((side > 0).float().mean(0) - 0.5).abs().max() < 0.05


def test_soft_shading_draws_the_share_of_the_light():
    drawn = sample(Magic3DLight(soft_shading=True))
    assert drawn.diffuse.min() < 0.01 and drawn.diffuse.max() > 0.99
    assert drawn.diffuse.mean().item() == pytest.approx(0.5, abs=0.03)
    assert torch.equal(drawn.position, sample(Magic3DLight()).position)


def test_camera_light_is_what_the_builtin_prior_saw():
    drawn = sample(CameraLight())
    assert 0.4 <= drawn.ambient.min() < 0.41 and 0.99 < drawn.ambient.max() <= 1.0
    assert torch.allclose(drawn.position.norm(dim=-1), torch.full((COUNT,), 100.0))
    still = sample(CameraLight(spread=0.0))
    expected = F.normalize(F.normalize(CAMERAS.position, dim=-1) + torch.tensor([0, 0, 0.3]), dim=-1)
    assert torch.allclose(still.position / 100, expected, atol=1e-5)
    generator = torch.Generator().manual_seed(5)
    eye = F.normalize(CAMERAS.position, dim=-1) + torch.tensor([0, 0, 0.3])
    expected = F.normalize(eye + 0.5 * torch.randn(COUNT, 3, generator=generator), dim=-1)
    cosine = (expected * F.normalize(CAMERAS.position, dim=-1)).sum(-1).mean()
    assert torch.cos(torch.deg2rad(angle(drawn))).mean().item() == pytest.approx(cosine.item(), abs=0.03)


@pytest.mark.parametrize("build, words", [
    (lambda: DreamFusionLight(min_distance=2.0), "min_distance"),
    (lambda: Magic3DLight(min_distance=0.0), "min_distance"), (lambda: Magic3DLight(max_angle=200.0), "max_angle"),
    (lambda: CameraLight(min_ambient=0.8, max_ambient=0.5), "min_ambient"),
])
def test_impossible_numbers_are_named(build, words):
    with pytest.raises(DistillError, match=words):
        build()


@pytest.mark.parametrize("node, recipe", [
    (DreamFusionLightNode, DreamFusionLight), (Magic3DLightNode, Magic3DLight), (CameraLightNode, CameraLight)])
def test_nodes_start_with_the_recipes_numbers(node, recipe):
    defaults = {widget.id: widget.default for widget in node.define_schema().inputs}
    assert node.execute(**defaults).args[0] == node.execute().args[0] == recipe()
