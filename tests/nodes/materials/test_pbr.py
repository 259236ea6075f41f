import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.materials.pbr import METALLIC, PBR, ROUGHNESS, PBRNode, panorama_of, tilted
from distill3d.nodes.materials.studio import studio


def directions(count=40):
    return F.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(2)), dim=1)


def features(albedo=0.5, metallic=-9.0, roughness=0.0, count=40, channels=8):
    raw = torch.zeros(count, channels)
    raw[:, :3] = torch.tensor(albedo).logit()
    raw[:, 3], raw[:, 4] = metallic, roughness
    return raw


def shade(material, raw, normal, direction=None, mode="shaded"):
    return material(raw, normal, torch.zeros_like(normal), None, mode, -normal if direction is None else direction)


def test_the_studio_is_neutral():
    light = studio(32)
    assert light.shape == (32, 64, 3) and light.min() > 0 and light.max() > 2 and light.std(-1).max() == 0


def test_white_under_even_light_is_white():
    material = PBR(torch.ones(8, 16, 3)).build()
    rgb, albedo = shade(material, features(0.99, roughness=9.0), directions())
    assert rgb.min() > 0.98 and rgb.max() <= 1
    torch.testing.assert_close(albedo, torch.full((40, 3), 0.99))


def test_light_adds_up_linearly():
    """Half the light on a matt surface is the same picture with its linear values halved."""
    n = directions()
    raw = features(0.4, roughness=9.0)
    from distill3d.kernels.image.color import srgb_to_linear
    one, half = (srgb_to_linear(shade(PBR(strength=s).build(), raw, n)[0]) for s in (0.4, 0.2))
    torch.testing.assert_close(one, 2 * half, atol=1e-5, rtol=1e-4)


def test_rough_is_duller_than_smooth():
    """A smooth metal shows the lamps, a rough one their mean."""
    n, material = directions(2000), PBR(strength=0.2).build()
    spread = [shade(material, features(0.9, 9.0, r, 2000), n)[0].std() for r in (-9.0, 0.0, 9.0)]
    assert spread[0] > spread[1] > spread[2]


def test_metal_has_the_colour_in_its_mirror():
    n, material = directions(), PBR(torch.full((8, 16, 3), 0.5)).build()
    raw = features(count=40)
    raw[:, :3] = torch.tensor([0.9, 0.5, 0.1]).logit()
    metal, plastic = raw.clone(), raw
    metal[:, 3], metal[:, 4] = 9.0, -9.0
    shine = shade(material, metal, n)[0] - shade(material, plastic, n)[0]
    assert shine.abs().max() < 0.2
    grazing = F.normalize(-n + 3 * torch.linalg.cross(n, n.roll(1, 1)), dim=1)
    assert (shade(material, plastic, n, grazing)[0] > shade(material, plastic, n)[0]).float().mean() > 0.9


def test_what_goes_into_files():
    material, n = PBR().build(), directions()
    maps = material.textures(torch.randn(40, 8) * 30, n)
    assert set(maps) == {"metallic", "roughness", "normal"}
    assert METALLIC[0] <= maps["metallic"].min() and maps["metallic"].max() <= METALLIC[1]
    assert ROUGHNESS[0] - 1e-6 <= maps["roughness"].min() and maps["roughness"].max() <= ROUGHNESS[1] + 1e-6
    torch.testing.assert_close(maps["normal"].norm(dim=1), torch.ones(40))
    plain = PBR(bump=False)
    assert plain.channels == 5 and set(plain.build().textures(torch.randn(40, 5), n)) == {"metallic", "roughness"}


def test_bumps_tilt_the_normal():
    n = torch.cat([directions(), torch.tensor([[0.0, 0, 1], [0, 0, -1]])])
    torch.testing.assert_close(tilted(n, torch.full((42, 3), 0.5)), n)
    up = tilted(torch.tensor([[1.0, 0, 0]]), torch.tensor([[0.5, 1.0, 0.5]]))
    torch.testing.assert_close(up, F.normalize(torch.tensor([[1.0, 0, 1]]), dim=1))
    left = tilted(torch.tensor([[1.0, 0, 0]]), torch.tensor([[1.0, 0.5, 0.5]]))
    torch.testing.assert_close(left, F.normalize(torch.tensor([[1.0, 1, 0]]), dim=1))
    for extreme in (0.0, 1.0):
        assert tilted(n, torch.full((42, 3), extreme)).isfinite().all()


def test_modes():
    material, n = PBR(albedo_fraction=0.5).build(), directions()
    raw = features(0.3)
    rgb, albedo = shade(material, raw, None if n is None else n, mode="albedo")
    assert rgb is albedo and not material.needs_light("shaded")
    white = shade(material, raw, n, mode="textureless")[0]
    assert (white > shade(material, raw, n)[0]).all()
    assert [material.draw_mode(step, 10, Streams(0, step)) for step in (0, 4, 5)] == ["albedo", "albedo", "shaded"]
    assert material.needs_normal("shaded") and not material.needs_normal("albedo")
    with pytest.raises(DistillError, match="normals"):
        material(raw, None, raw[:, :3], None, "shaded")


def test_features_of_a_colour():
    material, color = PBR().build(), torch.rand(6, 3) * 0.9 + 0.05
    raw = material.features_of(color)
    torch.testing.assert_close(material(raw, None, color, None, "albedo")[1], color)
    n = directions(6)
    maps = material.textures(raw, n)
    assert maps["metallic"].max() < 0.05
    torch.testing.assert_close(maps["normal"], n)


def test_gradients_reach_every_feature():
    raw = features(0.4).requires_grad_()
    shade(PBR().build(), raw, directions())[0].sum().backward()
    assert raw.grad.isfinite().all() and raw.grad.abs().amax(0).min() > 0


def test_the_node_takes_a_panorama():
    image = torch.zeros(1, 8, 16, 3)
    image[:, :, 8] = 1
    assert panorama_of(image, 90)[0, :, 0].argmax() == 4
    recipe = PBRNode.execute(environment=image, bump=False).args[0]
    assert recipe.environment.shape == (8, 16, 3) and recipe.channels == 5
    with pytest.raises(DistillError, match="environment"):
        panorama_of(torch.zeros(8, 16, 3), 0)
