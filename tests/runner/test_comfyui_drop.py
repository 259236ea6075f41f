"""Files of ours that are dropped on the canvas of a real ComfyUI bring back the workflow that made them.

Needs what comfyui_server.py needs; the browser also playwright beside COMFYUI_PYTHON, and Chromium on the path.
"""
import json

import pytest

from comfyui_server import SMALL, Server, drive, flat, needs_comfyui

pytestmark = needs_comfyui
WIDGETS = {**SMALL, "Distill3D_Objective": {"batch": 1, "resolution": 16}, "Distill3D_ExtractMesh": {"resolution": 16},
           "Distill3D_Optimize": {"steps": 7}}


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def seen(request, tmp_path_factory):
    """With a server of its own: the numbers of its files are looked at."""
    server = Server(tmp_path_factory.mktemp("drop"))
    try:
        server.wait_until(300, "The start", server.is_up)
        yield drive(server, "comfyui_drive_drop.py", str(flat("dreamfusion", tmp_path_factory.mktemp("flat"))),
                    str(int(request.param != "classic")), json.dumps(WIDGETS), str(server.output))
    finally:
        server.close()


def test_nothing_goes_wrong_in_the_page(seen):
    assert seen["errors"] == [] and seen["glb webp"] == seen["ply mp4"] == "execution_success"


def test_files_of_one_run_share_one_number(seen):
    numbers = {name.rsplit(".", 1)[1]: name.rsplit("_", 2)[1] for name in seen["files"]
               if not name.endswith((".png", ".mtl"))}
    assert numbers == {"glb": "00001", "webp": "00001", "ply": "00002", "mp4": "00002", "obj": "00003",
                       "gif": "00003"}


def test_each_brings_back_the_graph_with_its_values(seen):
    assert len(seen["dropped"]) == 6 and ["Distill3D_Optimize", 7] in seen["made by"]
    for name, graph in seen["dropped"].items():
        assert graph == seen["made by"], name
