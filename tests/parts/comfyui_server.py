"""A ComfyUI for tests with a separate folder: the checkout in COMFYUI_DIR is not modified."""
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

import distill3d
from distill3d.runner import listing, sync
from distill3d.runner.method import file as method_file
from distill3d.runner.workflow_file import read_graph

COMFYUI = os.environ.get("COMFYUI_DIR")
PYTHON = os.environ.get("COMFYUI_PYTHON", sys.executable)
needs_comfyui = pytest.mark.skipif(not COMFYUI, reason="set COMFYUI_DIR to a checkout of ComfyUI to test inside it")
PACK = Path(distill3d.__file__).resolve().parent
SMALL = {  # widgets that make a shipped workflow a matter of seconds
    "Distill3D_Optimize": {"steps": 3}, "Distill3D_ExtractMesh": {"resolution": 24},
    "Distill3D_UnwrapUV": {"texture_size": 256, "face_budget": 100000, "atlas": "boxes"},
    "Distill3D_BakeTexture": {"texture_size": 256}, "Distill3D_Turntable": {"frames": 2, "size": 32},
    "Distill3D_SceneToTetGrid": {"resolution": 24, "color_steps": 5}, "Distill3D_DreamBoothPrior": {"steps": 2},
    "Distill3D_SceneToSDF": {"resolution": 24, "color_steps": 5},
    "Distill3D_SamplePrior": {"images": 1, "steps": 2},
    "Distill3D_LangevinSample": {"images": 1, "levels": 1, "steps": 1}}


class Server:
    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        (folder / "custom_nodes").mkdir(exist_ok=True)
        if not (folder / "custom_nodes" / "distill3d").exists():  # else: an earlier server's folder, after a crash
            (folder / "custom_nodes" / "distill3d").symlink_to(PACK)
        self.folder, self.output, self.log = folder, folder / "output", folder / "log.txt"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [PYTHON, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", self.address.rsplit(":", 1)[1],
                 "--base-directory", str(folder), "--database-url", "sqlite:///:memory:", "--disable-api-nodes"],
                cwd=COMFYUI, stdout=log, stderr=log)

    def request(self, path, data=None, kind="application/json"):
        """(status, parsed answer); data: bytes or what becomes JSON; kind: its content type."""
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        try:
            with urllib.request.urlopen(urllib.request.Request(self.address + path, body, {"Content-Type": kind}),
                                        timeout=60) as answer:
                return answer.status, json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or "null")

    def status(self, path):
        """Of an answer that is no JSON."""
        try:
            with urllib.request.urlopen(self.address + path, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    def wait_until(self, seconds, what, ready):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                pytest.fail(f"ComfyUI ended with {self.process.returncode}:\n{self.tail()}")
            answer = ready()
            if answer:
                return answer
            time.sleep(0.2)
        pytest.fail(f"{what} took more than {seconds} s:\n{self.tail()}")

    def is_up(self):
        try:
            return self.request("/system_stats")[0] == 200
        except OSError:
            return False

    def queue(self, prompt):
        status, answer = self.request("/prompt", {"prompt": prompt})
        assert status == 200 and not answer["node_errors"], answer
        return answer["prompt_id"]

    def run(self, prompt):
        """The history entry of a prompt, when it has come to its end."""
        name = self.queue(prompt)
        entry = self.wait_until(300, "The workflow", lambda: self.request(f"/history/{name}")[1].get(name))
        assert entry["status"]["status_str"] == "success", self.tail()
        # Without nodes that are in the history for the live panel's and their warnings' sake only.
        ours = {"distill3d_panel", "distill3d_warnings"}
        return {**entry, "outputs": {node: shown for node, shown in entry["outputs"].items() if set(shown) - ours}}

    def tail(self):
        return self.log.read_text(errors="replace")[-6000:]

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def drive(server, script, *arguments):
    """What a script that drives the editor saw. Needs playwright beside COMFYUI_PYTHON, and Chromium."""
    if not (shutil.which("chromium") or shutil.which("google-chrome")):
        pytest.skip("Chromium is not on the path")
    if subprocess.run([PYTHON, "-c", "import playwright"], capture_output=True).returncode:
        pytest.skip("playwright is not installed beside COMFYUI_PYTHON")
    run = subprocess.run([PYTHON, str(Path(__file__).parents[1] / "runner" / script), server.address, *arguments],
                         capture_output=True,
                         text=True, timeout=3000, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)})
    lines = [line for line in run.stdout.splitlines() if line.startswith("MEASURED ")]
    assert run.returncode == 0 and lines, run.stderr[-4000:] + server.tail()
    return json.loads(lines[-1].removeprefix("MEASURED "))


def small(name):
    """A shipped workflow in API format, with small settings."""
    prompt = read_graph(listing.shipped_workflows()[name]).to_api()
    for entry in prompt.values():
        entry["inputs"].update(SMALL.get(entry["class_type"], {}))
    return prompt


def flat(name, folder):
    """The path of a shipped workflow without its stages: all nodes on the canvas, in the editor's format."""
    method = sync.methods()[name]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(method_file(replace(method, stages=()))), encoding="utf-8")
    return path
