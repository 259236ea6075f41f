"""What a run leaves behind when it is cancelled, ended early, diverges, or meets a damaged state."""
import os
import subprocess
import sys

import pytest
import torch

from distill3d.nodes.comfy import Host
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.nodes.core.objective import Objective
from distill3d.nodes.core.prompt import Prompt
from distill3d.nodes.core.schedule import Schedule
from distill3d.nodes.core.state import read_state, save_state, write_atomically
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


def run(tmp_path, steps, host=None, chain=None, **settings):
    return Run(picture_recipe(), chain or objectives(), OptimizerSettings(learning_rate=0.02),
               RunSettings(steps, **settings), host or Host(tmp_path), "7")


def same(a, b):
    return set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)


def state_file(folder):
    path, = (folder / "distill3d_states").glob("*.safetensors")
    return path


def test_cancelled_in_the_middle_it_continues_from_that_step(tmp_path):
    whole = run(tmp_path / "whole", 12).run().scene.state
    with pytest.raises(Cancelled):
        run(tmp_path / "cut", 12, host=StopAt(tmp_path / "cut", 5), save_every=1e6).run()
    _, facts = read_state(state_file(tmp_path / "cut"))
    assert not facts["finished"] and facts["step"] == 5
    assert same(run(tmp_path / "cut", 12, resume=True).run().scene.state, whole)


def test_ended_early_and_then_cancelled_it_continues(tmp_path):
    """Ctrl-C twice: the stage had ended with its early result when the second one came, in the next stage."""
    whole = run(tmp_path / "whole", 12).run().scene.state
    host = StopAt(tmp_path / "cut", 5, finish=True)
    early = run(tmp_path / "cut", 12, host=host).run()
    assert early.steps < 12
    host.finish = False
    with pytest.raises(Cancelled):
        host.check()  # the next stage asks
    assert same(run(tmp_path / "cut", 12, resume=True).run().scene.state, whole)


def test_ended_early_its_result_is_given_again_and_said(tmp_path):
    early = run(tmp_path, 12, host=StopAt(tmp_path, 5, finish=True)).run()
    host = Host(tmp_path)
    again = run(tmp_path, 12, host=host, resume=True).run()
    assert same(again.scene.state, early.scene.state) and again.steps == early.steps < 12
    assert any("ended early, at step" in text for text in host.warnings)


def test_parameters_that_are_not_finite_give_no_result(tmp_path):
    settings = OptimizerSettings("AdamW", learning_rate=0.02, weight_decay=1e38)
    with pytest.raises(DistillError, match="parameters are not finite"):
        Run(picture_recipe(), objectives(), settings, RunSettings(20), Host(tmp_path), "7").run()
    assert not list((tmp_path / "distill3d_states").glob("*")) if (tmp_path / "distill3d_states").exists() else True


def test_states_with_values_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(DistillError, match='"a" has values that are not finite'):
        save_state(tmp_path / "state.safetensors", {"a": torch.tensor([1.0, float("nan")])}, {})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place", [-1, -40, 60])
def test_a_flipped_bit_is_noticed(tmp_path, place):
    path = save_state(tmp_path / "state.safetensors", {"a": torch.arange(40.0)}, {"step": 3})
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(data)
    with pytest.raises(DistillError, match="damaged|cannot be read|no state"):
        read_state(path)


@pytest.mark.parametrize("change", ["shape", "name", "type", "index"])
def test_an_optimiser_that_does_not_fit_is_refused(tmp_path, change):
    with pytest.raises(Cancelled):
        run(tmp_path, 12, host=StopAt(tmp_path, 5)).run()
    path = state_file(tmp_path)
    tensors, facts = read_state(path)
    name = next(name for name in tensors if name.endswith("exp_avg"))
    value = tensors.pop(name)
    tensors |= {"shape": {name: value.flatten()[:-1]}, "name": {name + "_x": value}, "type": {name: value.long()},
                "index": {name.replace("optimizer.0", "optimizer.99"): value}}[change]
    save_state(path, tensors, facts)
    with pytest.raises(DistillError, match="saved optimiser has"):
        run(tmp_path, 12, resume=True).run()


def test_an_objective_may_begin_late(tmp_path):
    late = objectives(start=10_500)
    Run(picture_recipe(), late, OptimizerSettings(), RunSettings(20_000), Host(tmp_path), "7")
    with pytest.raises(DistillError, match="no objective is active"):
        Run(picture_recipe(), late, OptimizerSettings(), RunSettings(10_500), Host(tmp_path), "7")


@pytest.mark.parametrize("words", ["[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: "
                                   "you tried to allocate 99999999999 bytes.",
                                   "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: not enough memory: "
                                   "you tried to allocate 99999999999 bytes."])
def test_memory_that_runs_out_on_the_processor_is_explained(tmp_path, words):
    class Hungry:
        name, wanted = "hungry", frozenset({"rgb"})

        def __repr__(self):
            return "Hungry"

        def prepare(self, context):
            def call(look):
                raise RuntimeError(words)

            call.state_dict, call.load_state_dict = dict, lambda state: None
            return call

    with pytest.raises(DistillError, match="out of memory on cpu at step 0.*resolution"):
        run(tmp_path, 3, chain=objectives(Hungry())).run()


@pytest.mark.skipif(os.name != "posix", reason="processes are asked for by a signal")
def test_temporary_files_of_killed_writers_go(tmp_path):
    """A writer that is killed between the two halves of its work leaves a file, which the next writer removes."""
    script = ("import os, signal, sys; from distill3d.nodes.core import state; "
              "state.os.replace = lambda *names: os.kill(os.getpid(), signal.SIGKILL); "
              "state.write_atomically(sys.argv[1], b'half')")
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "state")], check=False)
    assert len(list(tmp_path.iterdir())) == 1
    own = write_atomically(tmp_path / "other", b"whole")
    assert list(tmp_path.iterdir()) == [own]
    assert own.read_bytes() == b"whole"
