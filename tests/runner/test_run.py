"""Running: order, inference mode, what a node sees, and what its errors become."""
import pytest
import torch

from distill3d.nodes import comfy
from distill3d.nodes.comfy import Host, Node, io
from distill3d.nodes.core.errors import Cancelled, DistillError
from distill3d.runner.run import run_workflow
from distill3d.runner.workflow_file import read_graph


def test_values_travel_and_files_are_reported(registry, chain, here, ran):
    result = run_workflow(chain, classes=registry)
    value = ("scaled", (3.0, 7, "soft", 4, "two\nlines", True, -1.0), 4.0, None)
    assert result.outputs["2"] == (value,) and result.outputs["1"][1] == "two\nlines"
    assert [path.relative_to(here.output_directory).as_posix() for path in result.files] == ["a/b_00001_.txt"]
    assert result.files[0].read_text() == repr(value)
    assert ran == [("Test_Source", "1"), ("Test_Scale", "2"), ("Test_Write", "3")]
    assert list(result.seconds) == ["1", "2", "3"] and all(second >= 0 for second in result.seconds.values())


def test_both_formats_run_alike(registry, chain, ui_chain, here):
    chain["1"]["inputs"]["late"] = 0.5
    first, second = run_workflow(chain, classes=registry), run_workflow(ui_chain, classes=registry)
    assert first.outputs == second.outputs
    assert [path.name for path in first.files + second.files] == ["b_00001_.txt", "b_00002_.txt"]


def test_only_what_outputs_need_runs_and_each_node_once(registry, chain, here, ran):
    chain["4"] = {"class_type": "Test_Source", "inputs": {}}
    chain["5"] = {"class_type": "Test_Write", "inputs": {"number": ["1", 0]}}
    run_workflow(chain, classes=registry)
    assert sorted(unique_id for _, unique_id in ran) == ["1", "2", "3", "5"]


def test_nothing_is_kept_between_runs(registry, chain, here, ran):
    run_workflow(chain, classes=registry)
    run_workflow(chain, classes=registry)
    assert len(ran) == 6


def test_settings_and_seeds(registry, chain, here):
    result = run_workflow(chain, {"factor": "5", "Source.kind": "hard"}, seed=9, classes=registry)
    assert result.outputs["2"][0][1][2:4] == ("hard", 9) and result.outputs["2"][0][2] == 5.0


def test_resume_sets_the_stage(registry, chain, here):
    chain["2"] = {"class_type": "Distill3D_Optimize", "inputs": {"number": ["1", 0]}}
    assert run_workflow(chain, classes=registry).outputs["2"][0][3] is False
    assert run_workflow(chain, classes=registry, resume=True).outputs["2"][0][3] is True


def test_a_path_runs_too(registry, chain, here, tmp_path):
    import json
    (tmp_path / "w.json").write_text(json.dumps(chain))
    assert len(run_workflow(tmp_path / "w.json", classes=registry).files) == 1


class Probe(Node):
    seen = []

    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Test_Probe", inputs=[], outputs=[], is_output_node=True)

    @classmethod
    def execute(cls):
        cls.left_behind = True
        Probe.seen.append((torch.is_inference_mode_enabled(), cls.hidden.unique_id, cls.hidden.prompt, comfy.host(),
                           issubclass(cls, Probe) and cls is not Probe))
        return io.NodeOutput()


def test_a_node_runs_as_in_the_host(tmp_path):
    Probe.seen.clear()
    host, before = Host(tmp_path), comfy.host()
    api = {"17": {"class_type": "Test_Probe", "inputs": {}}}
    run_workflow(api, host=host, classes={"Test_Probe": Probe})
    assert Probe.seen == [(True, "17", api, host, True)]
    assert not hasattr(Probe, "left_behind") and Probe.hidden.unique_id is None
    assert comfy.host() is before


@pytest.mark.parametrize("how, message", [
    ("mendable", "Failing (#2): the number is wrong. Give another."),
    ("unexpected", "Failing (#2): RuntimeError: sizes differ. This is not an error that the node expected; --debug "
                   "shows where it happened."),
    ("too few", "Failing (#2): returned 0 of 1 outputs. This is a fault of the node."),
])
def test_errors_name_the_node_in_one_line(registry, chain, here, how, message):
    chain["2"] = {"class_type": "Test_Fail", "inputs": {"number": ["1", 0], "how": how}}
    before = comfy.host()
    with pytest.raises(DistillError) as caught:
        run_workflow(chain, classes=registry)
    assert str(caught.value) == message
    assert comfy.host() is before and not here.output_directory.exists()
    assert (caught.value.__cause__ is not None) == (how != "too few")


def test_a_title_stands_in_front(registry, chain, here):
    chain["2"] = {"class_type": "Test_Fail", "inputs": {"number": ["1", 0], "how": "mendable"},
                  "_meta": {"title": "Bad"}}
    with pytest.raises(DistillError, match=r"^Bad \(#2\): the number is wrong"):
        run_workflow(chain, classes=registry)


def test_cancelled_runs_stop_before_the_next_node(registry, chain, here, ran):
    here.cancelled = True
    with pytest.raises(Cancelled):
        run_workflow(chain, classes=registry)
    assert not ran


def test_a_workflow_without_an_output_says_so(registry, chain, here, ran):
    del chain["3"]
    with pytest.raises(DistillError, match="nothing to run"):
        run_workflow(read_graph(chain, registry), classes=registry)
    assert not ran


def test_the_editors_file_is_embedded_where_it_says_what_runs(ui_chain, registry, here, monkeypatch):
    seen = []
    execute = registry["Test_Write"].execute.__func__

    def look(cls, **values):
        seen.append(cls.hidden.extra_pnginfo)
        return execute(cls, **values)

    monkeypatch.setattr(registry["Test_Write"], "execute", classmethod(look))
    run_workflow(ui_chain, host=here, classes=registry)
    run_workflow(ui_chain, {"Source.value": 2.0}, host=here, classes=registry)
    assert seen == [{"workflow": ui_chain}, None]
