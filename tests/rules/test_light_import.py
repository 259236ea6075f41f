"""The whole pack imports where only torch and numpy are installed, under any folder name."""
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Runs in a fresh interpreter. Finders that see only the allowed packages stand for an environment
# where nothing else is installed; torch keeps what torch itself requires.
SCRIPT = r"""
import importlib, importlib.metadata, importlib.util, pkgutil, re, sys
root, folder = sys.argv[1:]

def distribution(text):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text)[0]).lower()

wanted, installed = ["torch", "numpy"], set()
while wanted:
    one = wanted.pop()
    if one not in installed:
        installed.add(one)
        try:
            required = importlib.metadata.requires(one) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        wanted += [distribution(text) for text in required if "extra ==" not in text]

packages = importlib.metadata.packages_distributions()
allowed = {top for top, owners in packages.items() if any(distribution(owner) in installed for owner in owners)}
allowed |= set(sys.stdlib_module_names) | {"torch", "numpy", folder}
already = set(sys.modules)

class Only:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, module, *rest):
        return self.finder.find_spec(module, *rest) if module.split(".")[0] in allowed else None
    def __getattr__(self, attribute):
        return getattr(self.finder, attribute)

sys.meta_path[:] = [Only(finder) for finder in sys.meta_path]
for blocked in "PIL", "diffusers", "trimesh", "distill3d":
    assert importlib.util.find_spec(blocked) is None, blocked

def import_everything(pack):
    def failed(module):
        raise sys.exc_info()[1]
    names = [module.name for module in pkgutil.walk_packages(pack.__path__, pack.__name__ + ".", onerror=failed)]
    # One runs the command line; the others are imported by the functions that run them with Warp.
    names = [one for one in names if not one.endswith(("__main__", "_warp"))]
    for one in names:
        importlib.import_module(one)
    assert len(names) > 40, names

spec = importlib.util.spec_from_file_location(folder, root + "/__init__.py", submodule_search_locations=[root])
sys.modules[folder] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[folder])
import_everything(sys.modules[folder])

allowed.add("distill3d")
import_everything(importlib.import_module("distill3d"))

foreign = {module.split(".")[0] for module in set(sys.modules) - already} - allowed - {"__mp_main__"}
assert not foreign, foreign
print("imported")
"""


def test_imports_with_torch_and_numpy_alone(tmp_path):
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(ROOT), "folder_in_custom_nodes"], cwd=tmp_path,
                         capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "imported"


QUICK = r"""
import asyncio, importlib.util, sys, time
began = time.process_time()
import numpy, torch
needed = time.process_time() - began
import server_stand_in  # what a host has imported before it loads packs
root, = sys.argv[1:]
already, began = set(sys.modules), time.process_time()
spec = importlib.util.spec_from_file_location("pack", root + "/__init__.py", submodule_search_locations=[root])
pack = sys.modules["pack"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pack)
nodes = asyncio.run(asyncio.run(pack.comfy_entrypoint()).get_node_list())
for node in nodes:
    node.GET_SCHEMA()
seconds = time.process_time() - began
assert len(nodes) > 40
loaded = {module.split(".")[0] for module in set(sys.modules) - already}
print(seconds / needed, sorted(loaded - set(sys.stdlib_module_names) - {"pack"}))
"""


def test_a_start_of_comfyui_waits_for_less_than_half_of_what_torch_takes(tmp_path):
    """With torch and numpy there already, which take 1.5 s where the pack takes less than half a second. The best of
    three, in time of the processor, and compared: other programs may run too."""
    (tmp_path / "server_stand_in.py").write_text("import base64, io, json, logging, urllib.request\n")
    runs = [subprocess.run([sys.executable, "-c", QUICK, str(ROOT)], cwd=tmp_path, capture_output=True, text=True,
                           timeout=300)
            for _ in range(3)]
    assert all(run.returncode == 0 for run in runs), runs[0].stderr
    assert {run.stdout.split(" ", 1)[1].strip() for run in runs} == {"[]"}  # nothing else, however small
    shares = [float(run.stdout.split()[0]) for run in runs]
    assert min(shares) < 1 / 2, shares  # 0.2 to 0.25 on an idle machine
