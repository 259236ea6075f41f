"""Runs of Optimize on scenes of Gaussians."""
import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.cameras import turntable
from distill3d.nodes.core.errors import Cancelled
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state
from distill3d.nodes.fields.densification import Densification
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings, parse_rates
from distill3d.nodes.optimize.save_state import load_scene, save_scene
from loop_parts import Around, StopAt
from splat_scene import ball, splat_recipe

RATES = parse_rates("position: 0.02 to 0.005, color: 0.05, opacity: 0.1, scale: 0.02, rotation: 0.02")
GROWING = Densification(every=8, gradient=0.002, reset_every=0)
TARGET = splat_recipe(ball(800))


class Likeness(Stateless):
    """Squared distance to pictures of TARGET."""

    name, wanted = "likeness", frozenset({"rgb", "opacity"})

    def __repr__(self):
        return "Likeness"

    def prepare(self, context):
        self.scene = TARGET.build()
        return self

    def __call__(self, look):
        rendering = look.rendering
        with torch.no_grad():
            wanted = self.scene.render(look.cameras)
        return Term((rendering.rgb - wanted.rgb).square().mean() + (rendering.opacity - wanted.opacity).square().mean())


def run(output, steps=24, host=None, sizes=Schedule.of(20), densification=GROWING, **settings):
    objective = Objective(Around(), (Likeness(),), batch=Schedule.of(3), resolution=sizes)
    return Run(splat_recipe(count=150, densification=densification), (objective,), OptimizerSettings(rates=RATES),
               RunSettings(steps, **settings), host or Host(output), "7")


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def error(scene):
    cameras = turntable(4, 15, 3, 40, 24)
    with torch.no_grad():
        return float((scene.build().render(cameras).rgb - TARGET.build().render(cameras).rgb).square().mean())


def test_a_cloud_grows_and_approaches_pictures(tmp_path):
    result = run(tmp_path, 40).run()
    assert len(result.scene.state["field.position"]) > 200
    assert error(result.scene) < 0.15 * error(splat_recipe(count=150))
    fixed = run(tmp_path / "fixed", 40, densification=Densification(every=0)).run()
    assert len(fixed.scene.state["field.position"]) == 150


def test_killed_and_resumed_equals_uninterrupted(tmp_path):
    """Between two densifications, after one: sizes, averages and what was watched come back."""
    whole = run(tmp_path / "whole").run().scene.state
    assert len(whole["field.position"]) > 150
    with pytest.raises(Cancelled):
        run(tmp_path / "cut", host=StopAt(tmp_path / "cut", 13), save_every=1e-9).run()
    state, = (tmp_path / "cut" / "distill3d_states").iterdir()
    tensors, facts = read_state(state)
    assert (facts["step"] == 13 and len(tensors["scene.field.position"]) != 150
            and tensors["scene.field.gradient_sum"].any())
    resumed = run(tmp_path / "cut", resume=True, save_every=1e-9).run()
    assert same(resumed.scene.state, whole)


def test_looking_at_the_largest_size_first_is_not_watched(tmp_path):
    """Else a resumed run, which looks as well, would grow otherwise."""
    rising = Schedule(((0, 12.0), (23, 20.0)))
    whole = run(tmp_path / "whole", sizes=rising).run().scene.state
    with pytest.raises(Cancelled):
        run(tmp_path / "cut", host=StopAt(tmp_path / "cut", 13), sizes=rising, save_every=1e-9).run()
    assert same(run(tmp_path / "cut", sizes=rising, resume=True, save_every=1e-9).run().scene.state, whole)


def test_the_same_seed_gives_the_same_cloud(tmp_path):
    one, other, third = (run(tmp_path / name, 12, seed=seed).run().scene.state
                         for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert same(one, other) and not same(one, third)


def test_a_grown_scene_is_saved_and_loaded_and_trained_on(tmp_path, monkeypatch):
    from distill3d.nodes import comfy

    monkeypatch.setattr(comfy.hosts, "_host", Host(tmp_path))
    grown = run(tmp_path / "first", 20).run().scene
    path = save_scene(grown, "state")
    loaded = load_scene(splat_recipe(count=150, densification=GROWING), path.name)
    assert same(loaded.state, grown.state) and error(loaded) == error(grown)
    objective = Objective(Around(), (Likeness(),), batch=Schedule.of(2), resolution=Schedule.of(16))
    again = Run(loaded, (objective,), OptimizerSettings(rates=RATES), RunSettings(10), Host(tmp_path / "second"),
                "7").run()
    assert again.scene.state["field.position"].isfinite().all() and same(loaded.state, grown.state)


def test_finish_now_keeps_the_cloud(tmp_path):
    result = run(tmp_path, 1000, host=StopAt(tmp_path, 12, finish=True)).run()
    assert result.steps == 13 and len(result.scene.state["field.position"]) > 0
