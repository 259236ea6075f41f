"""Which layers may import which, checked in the source."""
from __future__ import annotations

import sys
from pathlib import Path

import pytest

from import_graph import ROOT, Import, circles, graph, imports_of, module_of, python_files

LIGHT = {"torch", "numpy"}
BACKENDS = {"warp", "gsplat", "nvdiffrast"}
HOST = {"comfy", "comfy_api", "comfy_api_nodes", "comfy_execution", "comfy_extras", "execution", "folder_paths",
        "nodes", "server"}
# Together they are the door to ComfyUI.
DOOR = ("nodes", "comfy")
# Code that several rooms share, above the contracts and below the rooms.
SHELVES = ("models", "surface", "assets", "shapes")


def complaint(module: tuple[str, ...], found: Import) -> str | None:
    """What is wrong with `module` making this import, None when nothing is."""
    in_kernels, in_core = module[:1] == ("kernels",), module[:2] == ("nodes", "core")
    room = module[1] if module[:1] == ("nodes",) and len(module) > 1 and is_room(module[1]) else None
    if found.outside is not None:
        name = found.outside
        if name in sys.stdlib_module_names:
            return None
        if name == "distill3d":
            return "imports the pack by name; use a relative import, the folder may be called anything"
        if name in HOST:
            return None if module[:2] == DOOR else f"imports {name} of ComfyUI; only nodes/comfy may"
        if in_kernels and name == "warp" and is_warp_source(module):
            return None
        if in_kernels and name != "torch" and not (name in BACKENDS and not found.at_load):
            return f"imports {name}; kernels use torch and the standard library"
        if found.at_load and name not in LIGHT:
            return f"imports {name} when it is loaded; import it inside the function that needs it"
        return None
    target = found.inside
    if is_warp_source(target) and found.at_load:
        return f"imports {'.'.join(target)} when it is loaded; what needs warp is imported by the function that runs it"
    if in_kernels and target[:1] != ("kernels",):
        return f"imports {'.'.join(target)}; kernels import only kernels"
    if in_core and target[:1] != ("kernels",) and target[:2] != ("nodes", "core"):
        return f"imports {'.'.join(target)}; nodes/core imports kernels and nodes/core"
    if module[:1] == ("workflows",) and target[:1] != ("workflows",) and target[:2] != ("nodes", "core"):
        return f"imports {'.'.join(target)}; descriptions of workflows import nodes/core and each other"
    shelves = {("nodes", shelf) for shelf in SHELVES}
    if module[:2] == DOOR and target[:1] != ("kernels",) and target[:2] not in {("nodes", "core"), DOOR}:
        return f"imports {'.'.join(target)}; the door to ComfyUI imports kernels, nodes/core and itself"
    if room and target[:1] != ("kernels",) and target[:2] not in {("nodes", "core"), ("nodes", room), DOOR, *shelves}:
        return (f"imports {'.'.join(target)}; a room imports kernels, nodes/core, the shelves, the door to ComfyUI and "
                "itself")
    return None


def is_warp_source(module: tuple[str, ...]) -> bool:
    """Kernels written for Warp, which decorates functions when the file is loaded."""
    return module[:1] == ("kernels",) and module[-1].endswith("_warp")


def is_room(name: str) -> bool:
    return name not in ("core", DOOR[1]) and (ROOT / "nodes" / name).is_dir()


def complaints(path: Path, source: str) -> list[str]:
    return [f"{path}:{found.line} {text}" for found in imports_of(path, source)
            if (text := complaint(module_of(path), found))]


def test_layers():
    files = python_files()
    assert {"kernels", "nodes", "runner"} <= {path.parts[0] for path in files}
    assert [text for path in files for text in complaints(path, (ROOT / path).read_text(encoding="utf-8"))] == []


def test_no_file_has_more_than_500_lines():
    paths = [*(ROOT / path for path in python_files()), *(ROOT / "tests").rglob("*.py")]
    assert [path.name for path in paths if len(path.read_text(encoding="utf-8").splitlines()) > 500] == []


def test_no_module_imports_itself_in_a_circle():
    """By value, in functions too. Types may: below `if TYPE_CHECKING`."""
    assert circles(graph()) == []


def test_circles_are_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"d", "f"}, "f": {"e"}}) == [
        ["a", "b", "c"], ["e", "f"]]


@pytest.mark.parametrize("path, source", [
    ("kernels/volume/march.py", "import numpy"),
    ("kernels/volume/march.py", "def f():\n    import scipy.spatial"),
    ("kernels/volume/march.py", "import warp"),
    ("kernels/encode/hash_grid.py", "from . import hash_grid_warp"),
    ("kernels/encode/hash_grid.py", "from .hash_grid_warp import SUMS"),
    ("kernels/volume/march.py", "from ...nodes.core import cameras"),
    ("kernels/volume/march.py", "def f():\n    from ... import nodes"),
    ("nodes/core/cameras.py", "from ..comfy import io"),
    ("nodes/core/cameras.py", "from PIL import Image"),
    ("nodes/losses/sds.py", "from ..fields.initial import InitialDensity"),
    ("nodes/losses/sds.py", "def f():\n    from .. import fields"),
    ("nodes/losses/sds.py", "from .. import node_list"),
    ("nodes/comfy/model.py", "from ..models import silence"),
    ("nodes/models/adapter.py", "from ..priors import lora_prior"),
    ("nodes/losses/sds.py", "from comfy_api.latest import io"),
    ("nodes/losses/sds.py", "try:\n    import diffusers\nexcept ImportError:\n    diffusers = None"),
    ("nodes/losses/sds.py", "class A:\n    import trimesh"),
    ("nodes/losses/sds.py", "from distill3d.kernels.checks import check_shape"),
    ("runner/run.py", "import tqdm"),
    ("workflows/methods/dreamfusion.py", "from ...runner.method import file"),
    ("__init__.py", "def f():\n    import folder_paths"),
])
def test_the_rules_catch(path, source):
    assert len(complaints(Path(path), source)) == 1


@pytest.mark.parametrize("path, source", [
    ("kernels/volume/march.py", "import math\nimport torch.nn\nfrom .box import intersect_box\nfrom .. import checks"),
    ("kernels/encode/hash_grid_warp.py", "import torch\nimport warp as wp\nfrom . import hash_grid"),
    ("kernels/encode/hash_grid.py", "def f():\n    from .hash_grid_warp import SUMS"),
    ("kernels/backend.py", "def f():\n    import warp\n    from gsplat import rasterization"),
    ("nodes/core/cameras.py", "import numpy\nfrom ...kernels import checks\nfrom .errors import DistillError"),
    ("nodes/losses/sds.py", "from ..comfy import io\nfrom .. import comfy\nfrom ..core import rng\nfrom . import sjc"),
    ("nodes/losses/sds.py", "def f():\n    import diffusers"),
    ("nodes/losses/sds.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from diffusers import Pipeline"),
    ("nodes/comfy/__init__.py", "import folder_paths\nfrom ..core.errors import DistillError"),
    ("nodes/comfy/model.py", "def f():\n    import comfy.samplers"),
    ("nodes/priors/model_prior.py", "from ..comfy.model import HostModel"),
    ("nodes/__init__.py", "from .fields.initial import InitialDensity"),
    ("workflows/methods/dreamfusion.py", "from ..description import node\nfrom .magic3d import METHOD"),
])
def test_the_rules_allow(path, source):
    assert complaints(Path(path), source) == []
