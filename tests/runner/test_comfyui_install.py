"""Installing the pack's requirements into a working ComfyUI moves nothing that is there.

Needs what comfyui_server.py needs, and a package index: pip says what it would install, and installs nothing.
"""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from comfyui_server import COMFYUI, PACK, PYTHON, needs_comfyui

pytestmark = needs_comfyui
# Of everything installed beside PYTHON: what ComfyUI itself asks for, and what that asks for.
CLOSURE = r"""
import importlib.metadata as metadata, json, re, sys, sysconfig
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement

def wanted(lines):
    for line in lines:
        try:
            one = Requirement(line.partition("#")[0].strip())
        except InvalidRequirement:
            continue
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            yield re.sub(r"[-_.]+", "-", one.name).lower()

left, files = ["pip", *wanted(open(sys.argv[1], encoding="utf-8"))], {}
while left:
    name = left.pop()
    if name in files:
        continue
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        continue
    files[name] = sorted({str(path).replace("\\", "/").split("/")[0] for path in found.files or []})
    left += wanted(found.requires or [])
print(json.dumps({"site": sysconfig.get_paths()["purelib"], "files": files}))
"""


@pytest.fixture(scope="module")
def planned(tmp_path_factory):
    """(what a ComfyUI without the pack has, what pip would install into it: {name: version})."""
    requirements = Path(COMFYUI, "requirements.txt")
    host = json.loads(subprocess.run([PYTHON, "-c", CLOSURE, str(requirements)], capture_output=True, text=True,
                                     check=True, timeout=120).stdout)
    folder = tmp_path_factory.mktemp("host")
    for names in host["files"].values():
        for name in names:
            source = Path(host["site"], name)
            if name not in ("..", "__pycache__") and source.exists() and not (folder / name).exists():
                (folder / name).symlink_to(source)
    # Without the site's packages, pip takes this folder for what is installed.
    run = subprocess.run([PYTHON, "-S", "-m", "pip", "install", "--dry-run", "--quiet", "--report", "-",
                          "--break-system-packages", "-r", str(PACK / "requirements.txt")], capture_output=True,
                         text=True, timeout=580, cwd=folder, env={**os.environ, "PYTHONPATH": str(folder)})
    if run.returncode and "No matching distribution" in run.stderr:
        pytest.skip("no package index can be reached")
    assert run.returncode == 0, run.stderr[-3000:]
    items = json.loads(run.stdout)["install"]
    return set(host["files"]), {re.sub(r"[-_.]+", "-", item["metadata"]["name"]).lower(): item["metadata"]["version"]
                                for item in items}


def test_nothing_that_is_there_is_moved(planned):
    there, installed = planned
    assert {"torch", "numpy", "transformers"} <= there
    assert not there & installed.keys()


def test_what_the_pack_needs_would_be_there(planned):
    there, installed = planned
    lines = (PACK / "requirements.txt").read_text(encoding="utf-8").splitlines()
    needed = {re.split(r"[<>=~! ]", line)[0].lower() for line in lines if line and not line.startswith("#")}
    assert needed <= there | installed.keys() and installed
