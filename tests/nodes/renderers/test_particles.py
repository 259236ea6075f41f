"""Several scenes as one: which of them a step trains, what its state is, and that VSD spreads them where SDS does
not."""
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.rng import Streams
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.fields.densification import Densification
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.losses.vsd import VSD
from distill3d.nodes.materials.albedo import Albedo
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.optimize.save_state import LoadStateNode, save_scene
from distill3d.nodes.renderers.kernel_backend import with_backend
from distill3d.nodes.renderers.particles import Particles, ParticlesNode
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from gaussian_prior import ABAR, GaussianPrior, LoadedGaussian
from image_scene import picture_recipe
from loop_parts import Around, StopAt
from splat_scene import splat_recipe

PROMPT = Prompt("red", views="none")
DEVIATION = 0.3
PRIOR = GaussianPrior((("red", 0.1),), deviation=DEVIATION)
VOLUME = SceneRecipe(VolumeRenderer(samples=24, occupancy=8), VoxelVolume(resolutions=(4, 8)), Albedo(),
                     SolidBackground(), seed=5)
CAMERAS = turntable(2, 15, 3, 40, 12)


@dataclass(frozen=True)
class Learner:
    """Recipe of a Gaussian that learns the mean of every pixel, and one deviation."""

    base: GaussianPrior = PRIOR
    image = ""

    def load(self, priors):
        return LoadedLearner(self.base, priors.device)


class LoadedLearner(LoadedGaussian):
    is_tunable = True

    def __init__(self, recipe, device):
        super().__init__(recipe, device)
        self.adapter = nn.ParameterDict({"mean": nn.Parameter(torch.zeros(3, 8, 8)),
                                         "log": nn.Parameter(torch.tensor(DEVIATION).log())})

    def denoise(self, z_t, t, conditions, cameras, beside=None):
        a, variance, mean = ABAR[t].view(-1, 1, 1, 1), (2 * self.adapter["log"]).exp(), self.adapter["mean"]
        return [mean + a.sqrt() * variance / (a * variance + 1 - a) * (z_t - a.sqrt() * mean)]

    def error(self, z, noise, t, condition, cameras, drops_camera=False):
        z0, = self.denoise(self.add_noise(z.clean, noise, t), t, [condition], cameras)
        return ((z.clean - z0) / self.sigma(t).view(-1, 1, 1, 1)).square().mean()


def variational():
    return VSD(PRIOR, Learner(), PROMPT, Schedule.of(1.0), lora_rate=Schedule.of(0.02))


def trained(scene, loss, steps, host, **settings):
    chain = (Objective(Around(), (loss,), batch=Schedule.of(1), resolution=Schedule.of(8)),)
    optimizer = OptimizerSettings(learning_rate=0.01, factor=Schedule(((0.5, 1.0), (1.0, 0.1)), "fraction"))
    return Run(scene, chain, optimizer, RunSettings(steps, **settings), host, "7").run().scene


def pixels(scene):
    """[count,8,8,3] in the prior's range."""
    return torch.stack([scene.pick(index).state["pixels"] for index in range(scene.count)]) * 2 - 1


@pytest.mark.parametrize("loss, low, high",
                         [(variational(), 0.7, 1.1), (SDS(PRIOR, PROMPT, Schedule.of(1.0)), 0.0, 0.2)])
def test_particles_spread_like_the_prior_under_vsd_and_meet_under_sds(tmp_path, loss, low, high):
    """Root mean square distance from their mean, in the prior's deviations."""
    found = pixels(trained(Particles.of(picture_recipe(), 4), loss, 300, Host(tmp_path), save_every=0))
    assert low < (found - found.mean(0)).square().mean().sqrt() / DEVIATION < high


def test_a_step_trains_one_of_them_and_in_time_all(tmp_path):
    recipe = Particles.of(picture_recipe(), 3)
    start = pixels(recipe.trained(recipe.build()))
    assert not torch.equal(start[0], start[1])
    for step in range(3):
        moved = pixels(trained(recipe, variational(), 1, Host(tmp_path), save_every=0, seed=step)) != start
        assert sorted(one.any().item() for one in moved) == [False, False, True]
    assert (pixels(trained(recipe, variational(), 20, Host(tmp_path), save_every=0)) != start).flatten(1).any(1).all()


def test_cancel_and_resume_equals_the_uninterrupted_run(tmp_path):
    recipe = Particles.of(picture_recipe(), 3)
    whole = trained(recipe, variational(), 20, Host(tmp_path / "whole"))
    with pytest.raises(Cancelled):
        trained(recipe, variational(), 20, StopAt(tmp_path / "cut", 11), save_every=1e-9)
    again = trained(recipe, variational(), 20, Host(tmp_path / "cut"), save_every=1e-9, resume=True)
    assert torch.equal(pixels(again), pixels(whole))
    finished = trained(recipe, variational(), 20, StopAt(tmp_path / "cut", 0), save_every=1e-9, resume=True)
    assert torch.equal(pixels(finished), pixels(whole))


def test_clouds_of_gaussians_grow_each_by_itself_and_resume_too(tmp_path):
    growing = Densification(every=4, gradient=1e-6, reset_every=0)
    recipe = Particles.of(splat_recipe(count=60, densification=growing), 2)
    whole = trained(recipe, variational(), 14, Host(tmp_path / "whole")).state
    with pytest.raises(Cancelled):
        trained(recipe, variational(), 14, StopAt(tmp_path / "cut", 9), save_every=1e-9)
    again = trained(recipe, variational(), 14, Host(tmp_path / "cut"), save_every=1e-9, resume=True).state
    assert again.keys() == whole.keys() and all(torch.equal(again[name], tensor) for name, tensor in whole.items())
    first, second = (len(whole[f"particles.{index}.field.position"]) for index in range(2))
    assert 60 < min(first, second) and first != second


def test_one_particle_is_the_scene_itself(tmp_path):
    alone = trained(VOLUME, variational(), 5, Host(tmp_path), save_every=0)
    picked = trained(Particles.of(VOLUME, 1), variational(), 5, Host(tmp_path), save_every=0).pick(0)
    assert picked.state.keys() == alone.state.keys()
    assert all(torch.equal(picked.state[name], tensor) for name, tensor in alone.state.items())


def test_all_know_where_they_are_empty():
    scene = Particles.of(VOLUME, 3).build()
    before = [one.occupancy_value.clone() for one in scene.particles]
    scene.update(0, 10, Streams(0, 0))
    assert all(not torch.equal(one.occupancy_value, old) for one, old in zip(scene.particles, before))


def test_pictures_are_of_the_first_and_training_of_the_one_that_was_drawn():
    recipe = Particles.of(VOLUME, 3)
    scene = recipe.build()
    for step in range(4):
        scene.update(step, 10, Streams(0, step))
        scene.render(CAMERAS, streams=Streams(0, step)).rgb.sum().backward()
        drawn = [any(p.grad is not None for group in one.parameter_groups().values() for p in group)
                 for one in scene.particles]
        assert drawn == [index == scene.current for index in range(3)]
        scene.zero_grad()
    first = scene.particles[0]
    with torch.no_grad():
        assert torch.equal(scene.render(CAMERAS).rgb, first.render(CAMERAS).rgb)
    assert (scene.field, scene.material, scene.background) == (first.field, first.material, first.background)
    assert torch.equal(scene.bounds, first.bounds)


def test_the_backend_and_saved_states_are_kept(tmp_path, monkeypatch):
    recipe = with_backend(Particles.of(picture_recipe(), 2), "torch")
    assert recipe.count == 2 and recipe.pick(1).backend == "torch"
    host = Host(tmp_path)
    monkeypatch.setattr("distill3d.nodes.optimize.save_state.host", lambda: host)
    scene = trained(recipe, variational(), 3, host, save_every=0)
    file = save_scene(scene, "two")
    loaded, = LoadStateNode.execute(recipe, file.name).args
    assert torch.equal(pixels(loaded), pixels(scene))


def test_what_cannot_be_is_explained():
    two, = ParticlesNode.execute(picture_recipe(), 2).args
    with pytest.raises(DistillError, match='"count" is 0'):
        ParticlesNode.execute(picture_recipe(), 0)
    with pytest.raises(DistillError, match="2 particles already"):
        ParticlesNode.execute(two, 3)
    with pytest.raises(DistillError, match="copies would be equal"):
        Particles.of(picture_recipe().trained(picture_recipe().build()), 2)
