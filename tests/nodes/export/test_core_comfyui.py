"""Cameras, splats and files exchanged with ComfyUI's own 3D nodes, tested by those nodes.

Runs where the environment variable COMFYUI_DIR names a checkout of ComfyUI; COMFYUI_PYTHON may name the interpreter
that has its requirements. comfyui_measure_core.py runs inside it, once; what it measured is judged here.
"""
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMFYUI = os.environ.get("COMFYUI_DIR")
pytestmark = pytest.mark.skipif(not COMFYUI, reason="set COMFYUI_DIR to a checkout of ComfyUI to test inside it")
SCRIPT = Path(__file__).with_name("comfyui_measure_core.py")


@pytest.fixture(scope="module")
def measured():
    run = subprocess.run([os.environ.get("COMFYUI_PYTHON", sys.executable), str(SCRIPT)], cwd=COMFYUI,
                         capture_output=True,
                         text=True, timeout=900, env={**os.environ, "PYTHONPATH": str(COMFYUI),
                                                      "PYTHONDONTWRITEBYTECODE": "1"})
    lines = [line for line in run.stdout.splitlines() if line.startswith("MEASURED ")]
    assert run.returncode == 0 and lines, run.stderr[-6000:]
    return json.loads(lines[-1].removeprefix("MEASURED "))


@pytest.mark.parametrize("camera", ["orbit", "below", "look_at", "quaternion"])
def test_a_camera_shows_our_scene_as_core_shows_its_splat(measured, camera):
    seen = measured["views"][camera]
    assert seen["iou"] > 0.94 and seen["share"] > 0.05
    assert seen["psnr"] > 26 and seen["psnr"] > seen["mirrored"] + 6


@pytest.mark.parametrize("camera", ["orbit", "below", "look_at", "quaternion"])
def test_discs_hide_what_is_behind_and_face_the_viewer(measured, camera):
    assert measured["views"][camera]["holes"] < 0.02 and measured["views"][camera]["facing"] > 0.3


def test_a_mesh_comes_back_from_a_file_of_core(measured):
    found = measured["files"]
    assert found["format"] == "glb" and max(found["vertices"], found["uv"], found["texture"]) < 1e-5


def test_a_splat_file_is_the_splat(measured):
    assert max(measured["files"]["splat"].values()) < 1e-5


@pytest.mark.parametrize("camera", ["orbit", "below", "look_at", "quaternion"])
def test_core_draws_our_gaussians_as_we_do(measured, camera):
    seen = measured["gaussians"]["views"][camera]
    assert seen["iou"] > 0.97 and seen["share"] > 0.03 and seen["psnr"] > 26 and seen["psnr"] > seen["mirrored"]


def test_gaussians_come_back_by_wire_and_from_every_file_of_core(measured):
    found = measured["gaussians"]
    assert found["wire"]["positions"] == found["wire"]["sh"] == 0 and max(found["wire"].values()) < 2e-6
    for kind in ("ply", "spz", "ksplat"):
        assert found["files"][kind]["positions"] == 0 and max(found["files"][kind].values()) < 2e-6


def test_sockets_are_called_as_the_hosts_are(measured):
    assert not measured["unknown types"]
