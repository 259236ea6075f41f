"""Losses see the scene in training, and the scene as the stage began."""
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.scene import SceneRecipe
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.optimize.initial_scene import InitialScene
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from image_scene import picture_recipe
from loop_parts import Around


class Anchor(Stateless):
    """Pulls the pixels towards where they began, plus a constant push."""

    name, wanted = "anchor", frozenset()

    def __init__(self, asks=True):
        self.asks, self.first, self.looks = asks, [], []

    def __repr__(self):
        return "Anchor"

    def prepare(self, context):
        return self

    def __call__(self, look):
        self.looks.append(look)
        value = look.rendering.rgb.mean()
        if self.asks:
            self.first.append(look.initial())
            value = value + (look.scene.pixels - look.initial().pixels).square().sum()
        return Term(value)


def run(folder, loss, steps=6):
    job = Run(picture_recipe(), (Objective(Around(), (loss,), batch=Schedule.of(1), resolution=Schedule.of(8)),),
              OptimizerSettings(learning_rate=0.05), RunSettings(steps, save_every=0, preview=8), Host(folder))
    return job, job.run()


def test_a_loss_compares_with_the_scene_as_the_stage_began(tmp_path):
    loss = Anchor()
    job, result = run(tmp_path, loss)
    began = picture_recipe().build().pixels
    assert len({id(scene) for scene in loss.first}) == 1             # built once
    assert torch.equal(loss.first[-1].pixels, began) and not loss.first[-1].pixels.requires_grad
    assert not torch.equal(result.scene.state["pixels"], began)
    assert all(look.scene is job.training.scene and look.total == 6 for look in loss.looks)
    assert [look.step for look in loss.looks] == list(range(6))


def test_a_second_stage_begins_with_what_the_first_trained(tmp_path):
    _, first = run(tmp_path, Anchor(asks=False))
    made = InitialScene(first.scene, torch.device("cpu"))()
    assert torch.equal(made.pixels, first.scene.state["pixels"])


def test_nothing_is_built_where_no_loss_asks(tmp_path, monkeypatch):
    built, build = [], SceneRecipe.build
    monkeypatch.setattr(SceneRecipe, "build", lambda self, device="cpu": built.append(device) or build(self, device))
    run(tmp_path, Anchor(asks=False))
    assert len(built) == 1
    run(tmp_path, Anchor())
    assert len(built) == 3
