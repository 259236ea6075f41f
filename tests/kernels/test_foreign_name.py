"""Warp kernels of a pack that was imported under the path of its folder, as ComfyUI does it."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import distill3d
from foreign_pack import OPS

pytest.importorskip("warp")
PACK = Path(distill3d.__file__).resolve().parent
HERE = Path(__file__).resolve().parents[1] / "parts" / "foreign_pack.py"
NAMES = ["distill3d", "/opt/ComfyUI/custom_nodes/distill3d", "/home/a_x_b/custom nodes/Distill3D-main",
         r"C:\ComfyUI_windows_portable\ComfyUI\custom_nodes\distill3d"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("warp")


def run(cache, *packs):
    arguments = [str(part) for pack in packs for part in pack]
    done = subprocess.run([sys.executable, str(HERE), *arguments], capture_output=True, text=True, cwd=cache,
                          timeout=300, env={**os.environ, "WARP_CACHE_PATH": str(cache), "DISTILL3D_BACKEND": ""})
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line.removeprefix("FOUND ")) for line in done.stdout.splitlines() if line.startswith("FOUND ")]


def folders(cache):
    return {path.name for path in cache.rglob("wp_*") if path.is_dir()}


def copy_of(pack, folder):
    folder.mkdir()
    shutil.copy(pack / "__init__.py", folder)
    shutil.copytree(pack / "kernels", folder / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_warp_runs_every_op_under_any_name(cache, name):
    found, = run(cache, (PACK, name))
    reasons = found.pop("reasons")
    assert len(found) == len(OPS) and set(found.values()) == {"warp"}, reasons
    # One folder for each file of kernels, the same whatever the pack is called, and none inside another.
    assert len(folders(cache)) == len(OPS)
    assert all(folder.startswith("wp_distill3d_") for folder in folders(cache))
    assert len({path.parent for path in cache.rglob("wp_*") if path.is_dir()}) == 1


def test_a_folder_with_another_name(cache, tmp_path):
    folder = copy_of(PACK, tmp_path / "my.copy-2")
    found, = run(cache, (folder, str(folder).replace(".", "_x_")))
    found.pop("reasons")
    assert set(found.values()) == {"warp"} and len(folders(cache)) == len(OPS)


@pytest.mark.parametrize("order", [1, -1])
def test_two_copies_of_the_pack_run_their_own_kernels(cache, tmp_path, order):
    """One copy's compositing is wrong: only it falls back, whichever was loaded first."""
    broken = copy_of(PACK, tmp_path / "broken")
    file = broken / "kernels" / "volume" / "composite_warp.py"
    source = file.read_text()
    assert source.count("expf(") and file.write_text(source.replace("expf(", "2.0f * expf("))
    names = ["/a/custom_nodes/distill3d", "/a/custom_nodes/broken"][::order]
    by_name = dict(zip(names, run(cache,
                                  *list(zip([PACK, broken], ["/a/custom_nodes/distill3d", "/a/custom_nodes/broken"]))
                                  [::order])))
    good, bad = by_name["/a/custom_nodes/distill3d"], by_name["/a/custom_nodes/broken"]
    good.pop("reasons")
    assert set(good.values()) == {"warp"}
    assert "off by" in bad.pop("reasons")["composite warp"] and bad.pop("composite") == "torch"
    assert set(bad.values()) == {"warp"}
