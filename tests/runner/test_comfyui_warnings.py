"""Warnings of a run in a real ComfyUI and a real browser, in the classic canvas and in Nodes 2.0.

Needs what comfyui_server.py needs; the browser also playwright beside COMFYUI_PYTHON, and Chromium on the path.
comfyui_drive_warnings.py drives it once for each of the two; what it saw is judged here.
"""
import json

import pytest

from comfyui_server import SMALL, drive, flat, needs_comfyui, small

pytestmark = needs_comfyui
WIDGETS = {**SMALL, "Distill3D_Objective": {"batch": 1, "resolution": 16}, "Distill3D_ExtractMesh": {"resolution": 16}}
UNKNOWN = "'dragon', 'eating', 'ramen'"


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def seen(server, request, tmp_path_factory):
    vue = int(request.param != "classic")
    # the server has the other's results cached
    widgets = {**WIDGETS, "Distill3D_Optimize": {"steps": 3, "seed": 11 + vue}}
    return drive(server, "comfyui_drive_warnings.py", str(flat("dreamfusion", tmp_path_factory.mktemp("flat"))),
                 str(vue),
                 json.dumps(widgets))


def test_nothing_goes_wrong_in_the_page(seen):
    assert seen["errors"] == [] and seen["ends"] == "execution_success"


def test_words_that_the_prior_does_not_know_stand_on_the_node_and_in_a_toast(seen):
    assert seen["before"] == []
    (warning,), (toast,) = seen["after"], seen["toasts"]
    text, = warning["texts"]
    assert UNKNOWN in text and UNKNOWN in toast and toast.startswith("Optimize")
    assert warning["needs"] <= warning["height"] + 1 and warning["width"] >= 200


def test_they_stay_as_long_as_the_result(seen):
    assert seen["cached"] == seen["after"]
    assert [one["texts"] for one in seen["reloaded"]] == [one["texts"] for one in seen["after"]]


def test_a_run_without_any_takes_them_away(seen):
    assert seen["known"] == [] and seen["height without"] < seen["height"]


def test_nothing_of_them_is_saved(seen):
    assert len(seen["saved widgets"]) == 5


def test_inside_a_subgraph_they_stand_on_the_node_and_are_counted_outside(seen):
    inside, = seen["inside"]
    assert "'whale'" in inside["texts"][0]
    assert [badges[-1] for badges in seen["badges"]] == ["\u26a0 1 warning"]


def test_the_history_has_them_of_a_cached_run_too(server):
    prompt = small("dreamfusion")
    for entry in prompt.values():
        if entry["class_type"] == "Distill3D_ViewPrompt":
            entry["inputs"]["text"] = "a dragon eating ramen"
    optimize = next(node for node, one in prompt.items() if one["class_type"] == "Distill3D_Optimize")
    prompt[optimize]["inputs"]["seed"] = 21
    for _ in range(2):
        name = server.queue(prompt)
        entry = server.wait_until(300, "The run", lambda: server.request(f"/history/{name}")[1].get(name))
        text, = entry["outputs"][optimize]["distill3d_warnings"]
        assert UNKNOWN in text
    assert server.request("/distill3d/warnings?workflow=none") == (200, [])


def refused(server, kind, name, value):
    """The error of each node of a small prompt in which one widget of one node has that value."""
    prompt = small("dreamfusion")
    node = next(node for node, one in prompt.items() if one["class_type"] == kind)
    prompt[node]["inputs"][name] = value
    status, answer = server.request("/prompt", {"prompt": prompt})
    assert status == 400
    assert list(answer["node_errors"]) == [node], answer
    return answer["node_errors"][node]["errors"]


@pytest.mark.parametrize("value", [float("nan"), None, "NaN", float("inf")])
@pytest.mark.parametrize("kind, name", [("Distill3D_SDSLoss", "weight"), ("Distill3D_VoxelVolume", "radius"),
                                        ("Distill3D_OptimizerSettings", "learning_rate")])
def test_a_number_that_is_none_is_refused_at_its_widget_before_anything_runs(server, kind, name, value):
    error, = refused(server, kind, name, value)
    assert error["extra_info"]["input_name"] == name


def test_the_type_of_an_error_is_a_short_name(server):
    prompt = small("dreamfusion")
    for entry in prompt.values():
        if entry["class_type"] == "Distill3D_Objective":
            entry["inputs"].update(start=5000, end=6000)
    name = server.queue(prompt)
    entry = server.wait_until(120, "The run", lambda: server.request(f"/history/{name}")[1].get(name))
    error = dict(entry["status"]["messages"])["execution_error"]
    assert error["exception_type"] == "distill3d.DistillError", error
