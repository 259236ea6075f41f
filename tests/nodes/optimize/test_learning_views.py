"""Views whose cameras are trained: their parameters join the optimiser, and their state the run's."""
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from distill3d.nodes.cameras.headlight import CameraLight
from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state
from distill3d.nodes.fields.voxel_volume import VoxelVolume
from distill3d.nodes.materials.lambertian import Lambertian
from distill3d.nodes.materials.solid_background import SolidBackground
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from distill3d.nodes.renderers.volume_renderer import VolumeRenderer
from loop_parts import StopAt

SCENE = SceneRecipe(VolumeRenderer(samples=24, occupancy=0), VoxelVolume(resolutions=(4, 8)), Lambertian(),
                    SolidBackground((0.0, 0.0, 0.0)))
# The shape stays as it is, the cameras move.
STILL = OptimizerSettings(rates=(("density", 0.0), ("color", 0.0), ("camera", 0.02)))
TRUE = (0.0, 0.15, -0.1)


@dataclass(frozen=True)
class Shifted:
    """Cameras around the object, all moved by one vector that is trained from 0."""

    def sample(self, batch, height, width, step, total, streams):
        return turntable(batch, 15, 3, 40, height)

    def learner(self):
        return ShiftedModule()


class ShiftedModule(nn.Module):
    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(3))

    def sample(self, batch, height, width, step, total, streams):
        cameras = Shifted().sample(batch, height, width, step, total, streams).to(self.shift.device)
        return moved(cameras, self.shift)

    def parameter_groups(self):
        return {"camera": [self.shift]}


def moved(cameras, shift):
    return replace(cameras, c2w=cameras.c2w + torch.nn.functional.pad(shift[:, None], (3, 0, 0, 1)))


class Likeness(Stateless):
    """The squared difference to pictures of the scene from where the cameras truly are."""

    name, wanted = "likeness", frozenset({"opacity"})

    def __init__(self):
        self.looks = []

    def __repr__(self):
        return "Likeness"

    def prepare(self, context):
        return self

    def __call__(self, look):
        self.looks.append(look)
        with torch.no_grad():
            true = moved(Shifted().sample(len(look.cameras), look.cameras.height, 0, 0, 0, None), torch.tensor(TRUE))
            wanted = look.scene.render(true, wanted=("opacity",))
        return Term((look.rendering.opacity - wanted.opacity).square().mean())


def job(folder, steps=40, host=None, losses=None, views=Shifted(), twice=False, settings=STILL, **more):
    chain = tuple(Objective(views, losses or (Likeness(),), CameraLight(), Schedule.of(2), Schedule.of(16), name=name)
                  for name in ("a", "b")[:1 + twice])
    return Run(SCENE, chain, settings, RunSettings(steps, preview=8, **more), host or Host(folder))


def shift_of(result_of):
    tensors, _ = read_state(result_of.saved.path)
    return tensors["views.0.shift"]


def test_cameras_find_their_places_while_the_scene_stays(tmp_path):
    run = job(tmp_path)
    before = SCENE.build().state_dict()
    result = run.run()
    off = (shift_of(run) - torch.tensor(TRUE)).norm()
    assert off < 0.5 * torch.tensor(TRUE).norm()
    assert all(torch.equal(tensor, before[name]) for name, tensor in result.scene.state.items() if name in before)


def test_objectives_with_the_same_views_share_them(tmp_path):
    run = job(tmp_path, 2, twice=True)
    run.run()
    assert len(run.training.views) == 1
    assert sum(entry["name"] == "camera" for entry in run.training.optimizer.param_groups) == 1


def test_cancel_and_resume_equals_the_uninterrupted_run(tmp_path):
    whole = job(tmp_path / "whole", 12)
    whole.run()
    with pytest.raises(Cancelled):
        job(tmp_path / "cut", 12, StopAt(tmp_path / "cut", 7), save_every=1e-9).run()
    rest = job(tmp_path / "cut", 12, resume=True)
    rest.run()
    assert torch.equal(shift_of(rest), shift_of(whole)) and shift_of(whole).abs().max() > 0


def test_the_rate_of_cameras_needs_views_that_learn(tmp_path):
    class Fixed:
        sample = Shifted.sample

        def __repr__(self):
            return "Fixed"

    with pytest.raises(DistillError, match="camera"):
        job(tmp_path, views=Fixed()).run()
