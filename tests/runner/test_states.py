"""The command `distill3d states`, and `run --continue`."""
import os
import time

import pytest

from distill3d.nodes.core.state_folder import DAY
from distill3d.runner import cli
from distill3d.runner.cli import main
from distill3d.runner.graph import Graph
from distill3d.runner.run import run_workflow
from distill3d.runner.setting import last_stages


def state(folder, name, days):
    path = folder / f"{name}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(1000))
    used = time.time() - days * DAY
    os.utime(path, (used, used))
    return path


def test_the_command_lists_and_deletes(tmp_path, capsys):
    folder = tmp_path / "distill3d_states"
    state(folder, "a", 1), state(folder, "b", 9)
    assert main(["states", "--output", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.index("a.safetensors") < out.index("b.safetensors") and "2 states, 2.0 kB" in out
    assert main(["states", "prune", "--output", str(tmp_path), "--days", "5"]) == 0
    assert "deleted: b.safetensors" in capsys.readouterr().out and not (folder / "b.safetensors").exists()
    assert main(["states", "prune", "--output", str(tmp_path), "--days", "-1"]) == 1


@pytest.fixture
def stages(chain):
    """Two stages, the second of which continues the first, and a third one beside them."""
    def stage(source):
        return {"class_type": "Distill3D_Optimize", "inputs": {"number": [source, 0], "steps": 3, "seed": 1,
                                                               "resume": False}}
    return {**chain, "4": stage("1"), "5": stage("4"), "6": stage("1"), **{
        f"w{number}": {"class_type": "Test_Write", "inputs": {"number": [number, 0], "filename_prefix": "n"}}
        for number in "56"}}


def test_the_last_stages_take_the_steps(stages, registry, here, monkeypatch):
    given = []
    original = type(here).progress
    monkeypatch.setattr(type(here), "progress", lambda self, node, title, total: (
        given.append((node, self.more_steps(node))) or original(self, node, title, total)))
    result = run_workflow(stages, host=here, classes=registry, more=7)
    assert sorted(given) == [("4", 0), ("5", 7), ("6", 7)]
    assert result.outputs["4"][0][3] is True  # resume, so that the first stage gives what it has


def test_stages_that_others_continue_are_not_the_last(stages, registry):
    from distill3d.runner.workflow_file import read_graph
    assert isinstance(read_graph(stages, registry), Graph)
    assert sorted(last_stages(read_graph(stages, registry))) == ["5", "6"]


def test_the_option_is_a_number_of_steps(monkeypatch, capsys):
    seen = []
    monkeypatch.setattr(cli, "_execute", lambda *arguments: seen.append(arguments[-1]) or 0)
    assert main(["run", "dreamfusion", "--continue", "40"]) == 0 and seen == [40]
    assert main(["run", "dreamfusion", "--continue", "-1"]) == 1 and "1 or more" in capsys.readouterr().err
