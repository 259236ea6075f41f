import dataclasses
import math

import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.loss import Stateless, Term
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from gaussian_prior import GaussianPrior
from image_scene import picture_recipe
from loop_parts import Around, StopAt

PRIOR = GaussianPrior((("grey", 0.4),))


def objectives(*losses, **options):
    losses = losses or (SDS(PRIOR, Prompt("grey", views="none"), Schedule.of(1.0)),)
    return (Objective(Around(), tuple(losses), batch=Schedule.of(2), resolution=Schedule.of(8), **options),)


def run(tmp_path, steps=20, seed=0, host=None, recipe=None, chain=None, **settings):
    return Run(recipe or picture_recipe(), chain or objectives(), OptimizerSettings(learning_rate=0.02),
               RunSettings(steps, seed, **settings), host or Host(tmp_path), "7")


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def test_it_improves_a_copy(tmp_path):
    recipe = picture_recipe()
    before = recipe.build().state_dict()
    result = run(tmp_path, 150, recipe=recipe).run()
    assert recipe.state is None and same(before, recipe.build().state_dict())
    assert abs(result.scene.state["pixels"].mean() - 0.7) < 0.03
    assert result.scene.state["pixels"].device.type == "cpu" and not result.scene.state["pixels"].requires_grad


def test_second_stage_starts_from_the_first_and_leaves_it_alone(tmp_path):
    first = run(tmp_path, 10).run().scene
    kept = {name: tensor.clone() for name, tensor in first.state.items()}
    second = run(tmp_path, 10, recipe=first).run().scene
    assert same(first.state, kept) and not same(second.state, kept)


def test_same_seed_same_bytes(tmp_path):
    a, b = run(tmp_path / "a").run().scene.state, run(tmp_path / "b").run().scene.state
    c = run(tmp_path / "c", seed=1).run().scene.state
    assert same(a, b) and not same(a, c)
    files = [next((tmp_path / name / "distill3d_states").iterdir()).name for name in "ab"]
    assert files[0] == files[1]


def test_runs_in_inference_mode(tmp_path):
    with torch.inference_mode():
        result = run(tmp_path).run()
    assert same(result.scene.state, run(tmp_path / "other").run().scene.state)
    assert not any(tensor.is_inference() for tensor in result.scene.state.values())


def test_cancel_and_resume_equals_the_uninterrupted_run(tmp_path):
    whole = run(tmp_path / "whole", 30).run().scene.state
    with pytest.raises(Cancelled):
        run(tmp_path / "cut", 30, host=StopAt(tmp_path / "cut", 17), save_every=1e-9).run()
    state, = (tmp_path / "cut" / "distill3d_states").iterdir()
    assert read_state(state)[1]["step"] == 17
    host = Host(tmp_path / "cut")
    resumed = run(tmp_path / "cut", 30, host=host, resume=True, save_every=1e-9).run()
    assert same(resumed.scene.state, whole) and resumed.steps == 30
    assert "resumed at step 17" in host.warnings[0]


def test_finished_run_is_not_repeated_when_resuming(tmp_path):
    first = run(tmp_path, 30).run()
    host = StopAt(tmp_path, 0)  # would cancel at the first step
    again = run(tmp_path, 30, host=host, resume=True).run()
    assert same(first.scene.state, again.scene.state)


def test_a_run_of_before_an_update_resumes_after_a_recipe_got_a_field(tmp_path):
    """The update appends a field with a default to the class of a recipe."""
    def updated(made):
        fields = [(field.name, field.type, field) for field in dataclasses.fields(made)]
        new = dataclasses.make_dataclass(type(made).__name__,
                                         [*fields, ("sharpness", float, dataclasses.field(default=2.0))],
                                         bases=(type(made),), frozen=True)
        return new(*(getattr(made, name) for name, *_ in fields))

    recipe, chain, optimizer = picture_recipe(), objectives(), OptimizerSettings(learning_rate=0.02)
    settings = RunSettings(30, save_every=1e-9)
    with pytest.raises(Cancelled):
        Run(recipe, chain, optimizer, settings, StopAt(tmp_path, 17), "7").run()
    recipe = updated(dataclasses.replace(recipe, renderer=updated(recipe.renderer)))
    chain = tuple(updated(objective) for objective in chain)
    host = Host(tmp_path)
    assert recipe.sharpness == recipe.renderer.sharpness == chain[0].sharpness == 2.0
    Run(recipe, chain, updated(optimizer), dataclasses.replace(settings, resume=True), host, "7").run()
    assert "resumed at step 17" in host.warnings[0]


def test_another_seed_or_prompt_does_not_resume(tmp_path):
    with pytest.raises(Cancelled):
        run(tmp_path, 30, host=StopAt(tmp_path, 17), save_every=1e-9).run()
    host = Host(tmp_path)
    run(tmp_path, 30, seed=1, host=host, resume=True).run()
    run(tmp_path, 30, host=host, resume=True, chain=objectives(SDS(PRIOR, Prompt("red", views="none")))).run()
    assert host.warnings == []


def test_finish_now_keeps_the_result(tmp_path):
    result = run(tmp_path, 1000, host=StopAt(tmp_path, 12, finish=True)).run()
    assert result.steps == 13 and result.scene.state is not None


class Fixed(Stateless):
    """A loss whose gradient is what `spoil(step)` says."""

    name, wanted = "fixed", frozenset({"rgb"})

    def __init__(self, spoil):
        self.spoil = spoil

    def __repr__(self):
        return "Fixed"

    def prepare(self, context):
        return self

    def __call__(self, look):
        return Term(look.rendering.rgb.mean() * self.spoil(look.step), {})


def test_bad_gradients_are_skipped_and_counted(tmp_path):
    job = run(tmp_path, 20, chain=objectives(Fixed(lambda step: math.nan if step == 3 else 1.0)))
    assert torch.isfinite(job.run().scene.state["pixels"]).all()
    assert job.health.skipped == 1


def test_many_bad_gradients_stop_the_run_with_the_last_good_state(tmp_path):
    host = Host(tmp_path)
    result = run(tmp_path, 100, host=host, chain=objectives(Fixed(lambda step: math.inf if step > 4 else 1.0))).run()
    assert result.steps == 15 and torch.isfinite(result.scene.state["pixels"]).all()
    assert any("not finite" in text for text in host.warnings)


def test_objectives_take_turns(tmp_path):
    seen = {"a": [], "b": []}

    def watch(name):
        return Fixed(lambda step: seen[name].append(step) or 1.0)

    chain = (Objective(Around(), (watch("a"),), batch=Schedule.of(1), resolution=Schedule.of(8), every=3, start=2,
                       end=9, name="a"),
             Objective(Around(), (watch("b"),), batch=Schedule.of(1), resolution=Schedule.of(8), name="b"))
    run(tmp_path, 12, chain=chain).run()
    assert seen["a"] == [2, 5, 8] and seen["b"] == list(range(12))


def test_largest_resolution_is_tried_first(tmp_path):
    sizes = []

    class Watch(Around):
        def sample(self, batch, height, width, step, total, streams):
            sizes.append(height)
            return super().sample(batch, height, width, step, total, streams)

    chain = Objective(Watch(), (Fixed(lambda step: 1.0),), resolution=Schedule(((0, 8), (10, 64))),
                      batch=Schedule.of(1)),
    result = run(tmp_path, 12, chain=chain).run()
    assert sizes[0] == 64 and sizes[1] == 8
    assert result.steps == 12


def test_nothing_to_do_is_an_error(tmp_path):
    with pytest.raises(DistillError, match="no objective is active"):
        run(tmp_path, 10, chain=objectives(start=50)).run()


def test_out_of_memory_names_the_knobs(tmp_path):
    def fail(step):
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(DistillError, match="resolution.*batch.*samples"):
        run(tmp_path, 10, chain=objectives(Fixed(fail))).run()


def test_history_is_a_picture(tmp_path):
    picture = run(tmp_path, 40).run().history.picture()
    assert picture.shape[1:] == (1024, 3) and picture.shape[0] > 300 and 0 <= picture.min() and picture.max() <= 1


def test_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("distill3d.nodes.core.state.os.replace", full)
    with pytest.raises(DistillError, match="No space left"):
        run(tmp_path).run()
    assert list((tmp_path / "distill3d_states").iterdir()) == []
