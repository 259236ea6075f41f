"""The live panel in a real ComfyUI and a real browser, in the classic canvas and in Nodes 2.0.

Needs what comfyui_server.py needs; the browser also playwright beside COMFYUI_PYTHON, and Chromium on the path.
comfyui_drive_panel.py drives it once for each of the two; what it saw is judged here.
"""
import json

import pytest

from comfyui_server import SMALL, drive, flat, needs_comfyui

pytestmark = needs_comfyui
WIDGETS = {**SMALL, "Distill3D_Objective": {"batch": 1, "resolution": 16}, "Distill3D_ExtractMesh": {"resolution": 16}}
WAITING = "The run will be shown here."


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def seen(server, request, tmp_path_factory):
    vue = int(request.param != "classic")
    # the server has the other's results cached
    widgets = {**WIDGETS, "Distill3D_Optimize": {"steps": 3, "seed": 1 + vue}}
    return drive(server, "comfyui_drive_panel.py", str(flat("dreamfusion", tmp_path_factory.mktemp("flat"))),
                 str(vue),
                 json.dumps(widgets))


def test_nothing_goes_wrong_in_the_page(seen):
    assert seen["errors"] == []


def test_a_panel_waits_on_the_node(seen):
    panel, = seen["before"]
    assert panel["text"] == WAITING and not (panel["button"] or panel["picture"] or panel["lines"])


def test_it_shows_pictures_curves_and_how_far_the_run_is(seen):
    panel = seen["running"]
    assert "too late" not in panel and panel["button"] and panel["status"] == "running"
    assert panel["picture"] == 288 and panel["lines"] >= 2 and panel["height"] >= 300 and panel["width"] >= 200
    step, of, total = panel["text"].split()[:3]
    assert int(step) >= 2 and (of, total) == ("/", "100000") and "left" in panel["text"]


def test_it_is_fed_three_times_a_second_at_most(seen):
    times = [when for kind, when in seen["events"] if kind == "distill3d.panel"]
    assert len(times) >= 4
    # Besides the beginning, the first step and the end. A busy page hears several at once: only the whole time counts.
    (_, queued), *_ = seen["events"]
    assert len(times) - 3 <= (times[-1] - queued) / 1000 / 0.3


def test_no_second_picture_or_text_is_shown_beside_it(seen):
    assert seen["node"] not in seen["texts"]


def test_finish_now_keeps_the_result(seen):
    assert seen["events"][-1][0] == "execution_success"
    panel = seen["finished"]
    assert panel["status"] == "ended early" and panel["text"].startswith("Ended early") and not panel["button"]


def test_a_cached_run_leaves_it_as_it_was(seen):
    assert seen["node"] in seen["again"]["cached"][-1]
    panel, = seen["again"]["panel"]
    assert panel == seen["finished"]


def test_a_cached_result_brings_it_to_another_copy_of_the_workflow(seen):
    before, = seen["copy"]["before"]
    assert before["text"] == WAITING
    assert seen["copy"]["after"] == seen["finished"]


def test_a_reloaded_page_gets_it_back(seen):
    assert seen["short"]["text"].startswith("Finished \u00b7 3 / 3") and seen["short"]["lines"] >= 1
    assert seen["reloaded"] == seen["short"]


def test_where_it_is_off_there_is_a_line_of_text(seen):
    assert seen["off"]["panels"] == [] and seen["node"] in seen["off"]["texts"]


def test_nothing_of_it_is_saved(seen):
    assert len(seen["saved widgets"]) == 5  # steps, seed and what becomes of it, save_every, resume


def test_it_works_inside_a_subgraph_and_goes_with_its_node(seen):
    assert seen["inside"]["ends"] == "execution_success" and ":" in seen["inside"]["node"]
    assert (seen["inside"]["panel"]["status"] == "finished"
            and seen["inside"]["panel"]["text"].startswith("Finished \u00b7 5 / 5"))
    assert seen["deleted"] == []


@pytest.mark.parametrize("body", [b"no JSON", b"[1]", b'{"page": 1, "on": true}', b'{"page": "a"}'])
def test_a_broken_announcement_is_answered(server, body):
    assert server.request("/distill3d/panels", body)[0] == 400


@pytest.mark.parametrize("path", ["panels", "finish"])
@pytest.mark.parametrize("size, kind, status", [(30, "application/json", (200, 409)), (30, "text/plain", (400,)),
                                                (5000, "application/json", (400,))])
def test_requests_are_small_and_json(server, path, size, kind, status):
    body = json.dumps({"page": "a" * size, "on": False, "node": "0"}).encode()
    assert server.request(f"/distill3d/{path}", body, kind)[0] in status


def test_a_workflow_that_never_ran_has_no_panels(server):
    assert server.request("/distill3d/panels?workflow=none") == (200, [])
