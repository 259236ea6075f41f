"""The command line: what it prints, where, and its exit codes."""
import ast
import json
import signal
import subprocess
import sys

import pytest

from distill3d.nodes.comfy import Node, host, io
from distill3d.nodes.core.errors import DistillError
from distill3d.runner import cli, doctor, listing, schema
from distill3d.runner.console import Console


@pytest.fixture
def files(tmp_path, monkeypatch, registry, chain):
    """A working directory with the chain as w.json; commands know the test nodes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(schema, "default_registry", lambda: registry)
    (tmp_path / "w.json").write_text(json.dumps(chain))
    return tmp_path


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_run(files, capsys):
    assert cli.main(["run", "w.json", "--set", "factor=5", "--set", "Source.words=a=b", "--seed", "8"]) == 0
    out, err = capsys.readouterr()
    assert written(files) == ["output/a/b_00001_.txt", "w.json"]
    text = (files / "output/a/b_00001_.txt").read_text()
    assert "5.0" in text and "8, 'a=b'" in text
    assert "output/a/b_00001_.txt  " in out and " B\n" in out and "1 file in " in out and err == ""


def test_output_folder_and_quiet(files, capsys):
    assert cli.main(["run", "w.json", "--output", "else/where", "--quiet", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.endswith("else/where/a/b_00001_.txt\n")


class TakeModel(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="TakeModel", is_output_node=True, inputs=[io.Model.Input("model")])

    @classmethod
    def execute(cls, model):
        host().say(f"took {model.path}")
        return io.NodeOutput()


def test_models_are_looked_for_in_the_folder_that_is_given(files, registry, monkeypatch, capsys):
    """The error of a missing file names it, and a file in it is found."""
    monkeypatch.setattr(schema, "default_registry", lambda: {**registry, "TakeModel": TakeModel})
    chain = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "sd.ckpt"}},
             "2": {"class_type": "TakeModel", "inputs": {"model": ["1", 0]}}}
    (files / "w.json").write_text(json.dumps(chain))
    (files / "mine/checkpoints").mkdir(parents=True)
    assert cli.main(["run", "w.json", "--models", "mine"]) == 1
    assert 'there is no "sd.ckpt" below mine/checkpoints' in capsys.readouterr().err
    assert cli.main(["run", "w.json"]) == 1
    assert 'there is no "sd.ckpt" below models/checkpoints' in capsys.readouterr().err
    (files / "mine/checkpoints/sd.ckpt").write_bytes(b"")
    assert cli.main(["run", "w.json", "--models", "mine"]) == 0
    assert capsys.readouterr().err == f"took {files / 'mine/checkpoints/sd.ckpt'}\n"
    cli.main(["doctor", "--models", "mine"])
    assert f"{files}/mine/checkpoints (1 entries)" in capsys.readouterr().out


@pytest.mark.parametrize("arguments, message", [
    (["run", "absent.json"], 'no workflow file "absent.json"'),
    (["run", "w.json", "--set", "factor"], "KEY=VALUE"),
    (["run", "w.json", "--set", "=3"], "KEY=VALUE"),
    (["run", "w.json", "--set", "count=999"], "above its maximum 100"),
    (["run", "w.json", "--set", "nothing=1"], "no node has a value"),
    (["run", "w.json", "--seed", "x"], "--seed"),
    (["run", "w.json", "--device", "abacus"], 'Device "abacus"'),
    (["run", "w.json", "--models", "absent"], 'no models folder "absent"'),
    (["run", "w.json", "--output", "w.json/below"], "Cannot write to the output folder"),
    (["run", "w.json", "--resume"], "nothing to resume"),
    (["run", "w.json", "--frobnicate"], "--frobnicate"),
    (["run", "bad.json"], "line 1, column 2"),
    (["run"], "WORKFLOW"),
    ([], "COMMAND"),
    (["fly"], "fly"),
    (["list", "Sorce"], 'did you mean "source"'),
    (["evaluate", "--frobnicate"], "--frobnicate"),
])
def test_mistakes_are_one_line_and_leave_nothing(files, capsys, arguments, message):
    (files / "bad.json").write_text("{1}")
    before = written(files)
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("distill3d: error: ") and err.count("\n") == 1
    assert message in err
    assert written(files) == before and not (files / "output").exists()


def test_a_failing_node_keeps_what_was_written_before(files, chain, capsys):
    chain["4"] = {"class_type": "Test_Fail", "inputs": {"number": ["1", 0], "how": "unexpected"}}
    chain["5"] = {"class_type": "Test_Write", "inputs": {"number": ["4", 0]}}
    (files / "w.json").write_text(json.dumps(chain))
    assert cli.main(["run", "w.json"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and "Written before the error:" in err and "a/b_00001_.txt" in err
    assert err.splitlines()[-1].startswith("distill3d: error: Failing (#4): RuntimeError: sizes differ.")
    assert "Traceback" not in err and written(files) == ["output/a/b_00001_.txt", "w.json"]
    assert cli.main(["run", "w.json", "--debug"]) == 1
    assert 'raise RuntimeError("sizes differ' in capsys.readouterr().err


def test_cancelling_is_130(files, chain, capsys, monkeypatch):
    chain["2"] = {"class_type": "Distill3D_Optimize", "inputs": {"number": ["1", 0], "steps": 50}}
    (files / "w.json").write_text(json.dumps(chain))
    progress = Console.progress

    def press_twice(self, *arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return progress(self, *arguments)

    monkeypatch.setattr(Console, "progress", press_twice)
    assert cli.main(["run", "w.json"]) == 130
    assert capsys.readouterr().err.endswith("distill3d: cancelled\n") and not (files / "output").exists()


def test_finishing_keeps_the_result(files, chain, monkeypatch, capsys):
    chain["2"] = {"class_type": "Distill3D_Optimize", "inputs": {"number": ["1", 0], "steps": 50}}
    (files / "w.json").write_text(json.dumps(chain))
    check, seen = Console.check, []

    def press_at_the_third_check(self):
        seen.append(0)
        if len(seen) == 3:
            signal.raise_signal(signal.SIGINT)
        return check(self)

    monkeypatch.setattr(Console, "check", press_at_the_third_check)
    assert cli.main(["run", "w.json"]) == 0
    steps = ast.literal_eval((files / "output/a/b_00001_.txt").read_text())[1]
    assert steps == 1 and "1 file in" in capsys.readouterr().out


def test_shipped_workflows_are_found_by_name(files, monkeypatch, capsys, chain):
    folder = files / "shipped"
    folder.mkdir()
    note = {"id": 9, "type": "MarkdownNote", "widgets_values": ["# Dream\n\nText to shape ([Poole et al. "
                                                                "2022](https://a.b)). Then more."]}
    (folder / "dream.json").write_text(json.dumps({"nodes": [note], "links": []}))
    monkeypatch.setattr(listing, "FOLDER", folder)
    for name in ("dream", "dream.json"):
        assert listing.find_workflow(name, folder) == folder / "dream.json"
    assert listing.find_workflow("w.json", folder).name == "w.json"
    with pytest.raises(DistillError, match='did you mean "dream"'):
        listing.find_workflow("draem", folder)
    assert listing.list_workflows(folder) == "dream  Text to shape (Poole et al. 2022)\n"


def test_train_runs_its_workflow_with_short_options(files, monkeypatch):
    seen = []
    monkeypatch.setattr(cli, "_execute", lambda arguments, workflow, sets, resume: seen.append((workflow, sets)) or 0)
    assert cli.main(["train", "--minutes", "3", "--set", "steps=9"]) == 0
    assert seen == [("train_builtin_prior", {"minutes": 3.0, "steps": "9"})]
    assert cli.main(["train", "--workflow", "train_builtin_clip"]) == 0 and seen[1:] == [("train_builtin_clip", {})]


def test_list(files, capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    assert "\nTest/things\n" in out and "  Source" in out and "Source does it\n" in out
    assert cli.main(["list", "write", "number"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Write Number (Test_Write)\n") and 'filename_prefix  [STRING, default "numbers/n"]' in out
    assert cli.main(["list", "Test_Source"]) == 0
    out = capsys.readouterr().out
    assert "value  [FLOAT, 0.0 to 10.0, default 1.0]\n      The number. Any.\n" in out
    assert 'kind  [COMBO, soft | hard, default "hard"]' in out and "text  [TEST_TEXT]" in out


def test_doctor_names_the_command_for_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "PACKAGES", (doctor.Package("torch", "tensors"), doctor.Package("no_such_one", "wings"),
                                             doctor.Package("neither", "legs", "neither-pip", needed=True)))
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "missing no_such_one" in out and "pip install no_such_one" in out and "brings wings" in out
    assert "wrong   neither" in out and "pip install neither-pip" in out
    assert "built-in prior" in out and "models/diffusers" in out and f"{tmp_path}/output can be made" in out
    assert not list(tmp_path.iterdir())


def test_doctor_sees_an_output_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    findings = doctor.examine(Console(tmp_path / "file/below", "cpu"))
    assert [one.status for one in findings if one.subject == "output"] == ["wrong"]


def test_as_a_program():
    """python -m distill3d answers, and needs neither diffusers nor transformers to do so."""
    code = ("import sys, runpy; sys.argv = ['distill3d', 'list', 'workflows']\n"
            "try:\n    runpy.run_module('distill3d', run_name='__main__')\nexcept SystemExit as end:\n    code = "
            "end.code\n"
            "heavy = {'diffusers', 'transformers', 'trimesh', 'PIL', 'av'} & set(sys.modules)\n"
            "sys.exit(f'{code} {heavy}' if code or heavy else 0)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


LONG = "x" * 300


@pytest.mark.parametrize("command", [
    ["run", LONG], ["run", "a\0b"], ["run", "dreamfusion", "--output", LONG],
    ["run", "dreamfusion", "--device", "hpu"],
    ["doctor", "--device", "hpu"], ["doctor", "--models", LONG], ["doctor", "--output", "a\0b"], ["list", "y" * 10**5],
    ["run", "dreamfusion", "--set", "steps=" + "9" * 5000],
    ["layout", "a\0b"], ["evaluate", "--output", "a\0b"]])
def test_what_no_file_or_device_is_called(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(command) == 1
    text = capsys.readouterr().err
    assert text.startswith("distill3d: error: ") and text.count("\n") == 1 and len(text) < 2100


def test_closed_output_is_no_error(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert cli.main(["list", "workflows"]) == 0
