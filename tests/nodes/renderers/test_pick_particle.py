from dataclasses import replace

import pytest
import torch

from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.renderers.particles import Particles
from distill3d.nodes.renderers.pick_particle import PickParticleNode, pick_particle
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from image_scene import picture_recipe

VOLUME = SceneRecipe(VolumeRenderer(samples=24, occupancy=8), VoxelVolume(resolutions=(4, 8)), Albedo(),
                     SolidBackground(), seed=5)
CAMERAS = turntable(2, 15, 3, 40, 12)


def test_a_picked_one_is_a_plain_scene_with_its_own_state():
    recipe = Particles.of(VOLUME, 2)
    scene = recipe.build()
    with torch.no_grad():
        for parameter in scene.particles[1].parameters():
            parameter.add_(0.1)
    both = recipe.trained(scene, {"steps": 3})
    second, = PickParticleNode.execute(both, 1).args
    assert type(second) is SceneRecipe and second.seed == 6 and second.notes == {"steps": 3}
    with torch.no_grad():
        found, wanted, other = (one.render(CAMERAS).rgb for one in (second.build(), scene.particles[1], scene))
    assert torch.equal(found, wanted) and not torch.equal(found, other)


def test_of_particles_that_were_not_trained_it_is_one_with_its_seed():
    assert PickParticleNode.execute(Particles.of(VOLUME, 2)).args[0] == VOLUME
    assert pick_particle(Particles.of(VOLUME, 2), 1) == replace(VOLUME, seed=6)


def test_what_is_not_there_is_explained():
    for index in (-1, 2):
        with pytest.raises(DistillError, match=f"no particle {index}.*0 to 1"):
            pick_particle(Particles.of(VOLUME, 2), index)
    with pytest.raises(DistillError, match="has no particles"):
        pick_particle(picture_recipe(), 0)
