"""Continue, and an early result that is given again, in a real ComfyUI and both editors. See test_comfyui_panel.py."""
import json

import pytest

from comfyui_server import SMALL, drive, needs_comfyui
from distill3d.runner import listing

pytestmark = needs_comfyui
WIDGETS = {**SMALL, "Distill3D_Objective": {"batch": 1, "resolution": 16}, "Distill3D_ExtractMesh": {"resolution": 16}}


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def seen(server, request, tmp_path_factory):
    vue = int(request.param != "classic")
    widgets = {**WIDGETS, "Distill3D_Optimize": {"seed": 101 + vue}}
    return drive(server, "comfyui_drive_going.py", str(listing.shipped_workflows()["dreamfusion"]), str(vue),
                 json.dumps(widgets), str(tmp_path_factory.mktemp("pictures")))


def step_of(panel):
    return int(panel["text"].split(" \u00b7 ")[1].split(" / ")[0])


def test_nothing_goes_wrong_in_the_page(seen):
    assert seen["errors"] == []


def test_after_finish_now_the_rest_is_offered(seen):
    early = seen["early"]
    assert early["status"] == "ended early" and early["offered"] == 3000 - step_of(early) and early["note"] == ""


def test_queued_again_it_says_that_the_early_result_is_given(seen):
    assert seen["again"]["status"] == "ended early" and "its early result was used again" in seen["again"]["note"]


def test_continue_adds_steps_with_the_seed_of_the_run(seen, request):
    first, more = seen["early"], seen["continued"]
    assert more["ended"] == "execution_success" and more["status"] == "finished" and more["note"] == ""
    assert step_of(more) == step_of(first) + 4 == more["widgets"]["continue_to"]
    assert more["widgets"]["seed"] in (101, 102) and more["widgets"]["steps"] == 3000
    assert any(f"continued from step {step_of(first)} to {step_of(first) + 4}" in text for text in more["warnings"])


def test_a_continued_run_is_continued(seen):
    assert step_of(seen["twice"]) == step_of(seen["continued"]) + 2
    assert any(f"continued from step {step_of(seen['continued'])}" in text for text in seen["twice"]["warnings"])
