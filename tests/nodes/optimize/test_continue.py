"""Continue: more steps on what is there."""
import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state, save_state
from distill3d.nodes.losses.sds import SDS
from distill3d.nodes.optimize.fingerprint import length_dependent
from distill3d.nodes.optimize.loop import Run, RunSettings
from distill3d.nodes.optimize.optimizer_settings import OptimizerSettings
from gaussian_prior import GaussianPrior
from image_scene import picture_recipe
from loop_parts import Around, StopAt

PRIOR = GaussianPrior((("grey", 0.4),))
CONSTANT = Schedule.of(8)
GROWING = Schedule(((0.0, 4.0), (1.0, 12.0)), "fraction")


def run(folder, steps, host=None, resolution=CONSTANT, optimizer=OptimizerSettings(learning_rate=0.02), **settings):
    losses = SDS(PRIOR, Prompt("grey", views="none"), Schedule.of(1.0)),
    chain = Objective(Around(), losses, batch=Schedule.of(2), resolution=resolution),
    host = host or Host(folder)
    return Run(picture_recipe(), chain, optimizer, RunSettings(steps, **settings), host, "7").run(), host


def same(a, b):
    return set(a.scene.state) == set(b.scene.state) and all(
        torch.equal(a.scene.state[name], b.scene.state[name]) for name in a.scene.state)


def test_without_schedules_it_is_the_longer_run(tmp_path):
    whole, _ = run(tmp_path / "whole", 20)
    short, _ = run(tmp_path / "cut", 8)
    longer, host = run(tmp_path / "cut", 8, continue_to=20)
    assert longer.steps == 20 and same(longer, whole) and not same(longer, short)
    assert host.warnings == ["Optimize: continued from step 8 to 20. No number of this wiring depends on the length: "
                             "the result is that of a new run of 20 steps."]


@pytest.mark.parametrize("kind", ["Adam", "Adamax", "SGD"])
def test_the_result_does_not_depend_on_where_it_was_continued(tmp_path, kind):
    settings = OptimizerSettings(kind, learning_rate=0.02, rates=(("color", (0.05, 0.001)),))
    straight, host = run(tmp_path / "straight", 8, continue_to=20, resolution=GROWING, optimizer=settings)
    assert "trains from step 0 to 20" in host.warnings[0]
    run(tmp_path / "parts", 8, resolution=GROWING, optimizer=settings)
    run(tmp_path / "parts", 8, continue_to=13, resolution=GROWING, optimizer=settings)
    parts, host = run(tmp_path / "parts", 8, continue_to=20, resolution=GROWING, optimizer=settings)
    assert same(parts, straight) and "continued from step 13 to 20" in host.warnings[0]


def test_it_says_what_a_new_run_would_stretch(tmp_path):
    settings = OptimizerSettings(learning_rate=0.02, rates=(("color", (0.05, 0.001)),))
    run(tmp_path, 8, resolution=GROWING, optimizer=settings)
    _, host = run(tmp_path, 8, continue_to=12, resolution=GROWING, optimizer=settings)
    assert "differs from a new run of 12 steps in resolution, rates" in host.warnings[0]


def test_ended_early_it_goes_on_as_if_it_had_not(tmp_path):
    whole, _ = run(tmp_path / "whole", 12, resolution=GROWING)
    early, _ = run(tmp_path / "cut", 12, host=StopAt(tmp_path / "cut", 5, finish=True), resolution=GROWING)
    assert early.steps < 12
    rest, host = run(tmp_path / "cut", 12, continue_to=12, resolution=GROWING)
    assert same(rest, whole) and "the same as without the interruption" in host.warnings[0]


def test_more_steps_are_counted_from_the_latest_state(tmp_path):
    run(tmp_path, 8)
    assert [run(tmp_path, 8, more=3)[0].steps for _ in range(2)] == [11, 14]
    again, _ = run(tmp_path, 8, continue_to=11)  # goes back to the state at 11
    assert again.steps == 11 and again.seconds == 0.0


def test_a_continuation_that_is_there_is_given_again(tmp_path):
    run(tmp_path, 8)
    first, _ = run(tmp_path, 8, continue_to=12)
    again, host = run(tmp_path, 8, continue_to=12)
    assert same(first, again) and again.seconds == 0.0 and host.warnings == []


def test_states_without_an_optimiser_are_no_start(tmp_path):
    """As finished runs left them before they could be continued."""
    run(tmp_path, 8)
    path, = (tmp_path / "distill3d_states").glob("*.safetensors")
    tensors, facts = read_state(path)
    facts.pop("whole")
    save_state(path, {name: value for name, value in tensors.items() if name.startswith("scene.")}, facts)
    _, host = run(tmp_path, 8, continue_to=10)
    assert "no saved state of this run" in host.warnings[0]


def test_lengths_are_found_wherever_they_are():
    assert length_dependent(OptimizerSettings(factor=GROWING), (Objective(Around(), (), batch=GROWING),)) == [
        "factor", "batch"]
    assert length_dependent(OptimizerSettings(), Objective(Around(), (), batch=CONSTANT)) == []
