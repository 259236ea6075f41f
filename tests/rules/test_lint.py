"""What linters say: ruff with the settings in pyproject.toml, and ComfyUI's own comfy-cli and comfy-test where they are
installed.

comfy-test wants ComfyUI's layers in place of nn.Linear and its kin, so that the host can move and cast them. Ours are
trained, or small and held by a prior, which the host moves as a whole: they are named by import.
"""
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """What git has of the pack: neither environments nor outputs that lie beside it."""
    listed = subprocess.run(["git", "ls-files",
                             "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    folder = tmp_path_factory.mktemp("lint") / "distill3d"
    for name in listed:
        if name.endswith((".py", ".js", ".mjs", ".css", ".toml", ".txt")) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / name)
    return folder


@pytest.mark.skipif(importlib.util.find_spec("ruff") is None, reason="ruff is not installed (it is in the extra test)")
def test_ruff_finds_nothing():
    run = subprocess.run([sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format", "concise", "."],
                         cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, f"{run.stdout[-3000:]}{run.stderr[-1000:]}\n`ruff check --fix` sorts imports."


@pytest.mark.skipif(importlib.util.find_spec("comfy_test") is None, reason="comfy-test is not installed")
@pytest.mark.parametrize("check", ["syntax", "javascript"])
def test_comfy_test_finds_nothing(pack, check):
    run = subprocess.run([sys.executable, "-m", "comfy_test", "lint", "--check", check, "."], cwd=pack,
                         capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-1000:]


@pytest.mark.skipif(importlib.util.find_spec("comfy_cli") is None, reason="comfy-cli is not installed")
def test_comfy_cli_would_publish_it(pack):
    run = subprocess.run([sys.executable, "-m", "comfy_cli", "--skip-prompt", "--no-enable-telemetry", "node",
                          "validate"],
                         cwd=pack, capture_output=True, text=True, timeout=120,
                         env={**os.environ, "HOME": str(pack.parent)})
    said = run.stdout + run.stderr
    assert run.returncode == 0 and "All validation checks passed" in said, said[-3000:]
    assert "warning" not in said.lower() and "issues found" not in said.lower(), said[-3000:]
