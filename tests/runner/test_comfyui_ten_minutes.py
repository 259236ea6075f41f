"""The first ten minutes of a new user in a real ComfyUI: install, open the starter, run it on one click, change the
prompt, finish early, continue, drop the GLB back, open the image template, and send the mesh to a core node.

DISTILL3D_TEN_MINUTES names a folder for the screenshots and a report; DISTILL3D_STEPS shortens the first run.
"""
import json
import os
import time
from pathlib import Path

import pytest

from comfyui_server import Server, drive, needs_comfyui

pytestmark = [needs_comfyui, pytest.mark.slow]


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def seen(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ten")
    pictures = Path(os.environ.get("DISTILL3D_TEN_MINUTES", folder)) / request.param.replace(" ", "_")
    pictures.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    server = Server(folder)
    try:
        server.wait_until(300, "The start", server.is_up)
        start = round(time.monotonic() - began, 1)
        found = drive(server, "comfyui_drive_ten_minutes.py", str(int(request.param != "classic")), str(server.output),
                      str(pictures), os.environ.get("DISTILL3D_STEPS", "0"))
    finally:
        server.close()
    found["seconds to start"] = start
    (pictures / "report.json").write_text(json.dumps(found, indent=1))
    return found


def test_nothing_goes_wrong_in_the_page(seen):
    assert seen["errors"] == []


def test_the_starter_makes_an_object_with_three_clicks(seen):
    assert seen["starter"] and seen["clicks to the first run"] <= 3
    assert seen["first run"]["ended"] == "execution_success" and seen["objects"] >= 1, seen["first run"]


def test_a_known_prompt_runs_without_a_warning_of_the_prompt(seen):
    assert seen["known"]["ended"] == "execution_success"
    assert not any("cone" in text for text in seen["known"]["warnings"])


def test_an_unknown_prompt_is_named_on_the_page(seen):
    assert seen["unknown"]["ended"] == "execution_success"
    assert any("dragon" in text or "ramen" in text for text in seen["unknown"]["warnings"])


def test_an_early_result_is_given_again_and_continued(seen):
    assert any("early result was used again" in text for text in seen["note"])
    assert seen["continued"]["ended"] == "execution_success"
    assert seen["continued"]["step"] == seen["unknown"]["step"] + 5


def test_a_dropped_glb_is_the_graph_again(seen):
    assert seen["dropped"]


def test_the_image_template_runs_and_its_mesh_goes_to_core(seen):
    assert seen["image"] and seen["image run"]["ended"] == "execution_success", seen["image run"]
    assert seen["mesh wire"] and seen["core run"]["ended"] == "execution_success" and seen["core files"] >= 1
