import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.environment_background import EnvironmentBackground
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer, VolumeRendererNode

FIELD, BACKGROUND = VoxelVolume(resolutions=(4, 8)), EnvironmentBackground()


def test_the_node_gives_a_scene_recipe():
    recipe = VolumeRendererNode.execute(FIELD, Albedo(), BACKGROUND).args[0]
    assert recipe == SceneRecipe(VolumeRenderer(), FIELD, Albedo(), BACKGROUND)
    recipe = VolumeRendererNode.execute(FIELD, Albedo(), BACKGROUND, samples=512, occupancy=0, max_samples=2048,
                                        seed=7).args[0]
    assert recipe.renderer == VolumeRenderer(512, 0, 0.01, 2048) and recipe.seed == 7


def test_the_scene_comes_back_from_its_state():
    recipe = SceneRecipe(VolumeRenderer(), FIELD, Lambertian(), BACKGROUND, seed=1)
    scene, cameras = recipe.build(), turntable(2, 10, 3.2, 40, 6)
    scene.update(0, 10, Streams(0, 0))
    with torch.no_grad():
        for parameter in scene.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        picture = scene.render(cameras).rgb
        assert torch.equal(recipe.trained(scene).build().render(cameras).rgb, picture)
        assert not torch.equal(recipe.build().render(cameras).rgb, picture)


def test_every_parameter_is_in_one_group_and_gets_a_gradient():
    scene = SceneRecipe(VolumeRenderer(), FIELD, Lambertian(), BACKGROUND).build()
    groups = scene.parameter_groups()
    assert set(groups) == {"density", "color", "background"}
    assert sorted(id(p) for group in groups.values() for p in group) == sorted(id(p) for p in scene.parameters())
    scene.render(turntable(4, 10, 3.2, 40, 12), streams=Streams(0, 0)).rgb.sin().sum().backward()
    for name, parameters in groups.items():
        assert all(parameter.grad.abs().sum() > 0 for parameter in parameters), name
    assert torch.equal(scene.bounds, scene.field.bounds)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"occupancy": -1}, {"max_samples": 0}])
def test_impossible_numbers(wrong):
    with pytest.raises(DistillError, match="must be"):
        VolumeRenderer(**wrong)
