"""Metadata for pip and ComfyUI's registry: requirements that replace no installed torch, and a complete package."""
import re
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib")  # Python 3.11
ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
REQUIREMENTS = [line for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
                if line and not line.startswith("#")]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_no_requirement_moves_what_is_installed(requirement):
    """Lower bounds only, and not a word of what every ComfyUI brings in a build of its own."""
    name, _, _ = re.fullmatch(r"([\w-]+)(>=[\d.]+)?(; .+)?", requirement).groups()  # after ";": on which machines
    assert name not in ("torch", "torchvision", "numpy")


def test_both_lists_say_the_same():
    assert sorted(PROJECT["project"]["dependencies"]) == sorted([*REQUIREMENTS, "torch", "numpy"])


def test_every_folder_of_code_is_in_the_package():
    folders = {path.parent for top in ("kernels", "nodes", "runner", "workflows")
               for path in (ROOT / top).rglob("*.py")}
    names = {".".join(["distill3d", *folder.relative_to(ROOT).parts]) for folder in folders}
    assert names | {"distill3d"} == set(PROJECT["tool"]["setuptools"]["packages"]), "Run make sync."


def test_the_registry_gets_what_it_asks_for():
    project, comfy = PROJECT["project"], PROJECT["tool"]["comfy"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"]) and "comfyui" not in project["name"].lower()
    assert (ROOT / project["license"]["file"]).is_file() and (ROOT / project["readme"]).is_file()
    assert comfy["PublisherId"] and comfy["DisplayName"] and (ROOT / comfy["web"]).is_dir()


def test_no_route_serves_files():
    """The pack's routes answer with what its panels show. Files are the host's to serve."""
    sources = [path for top in ("nodes", "runner") for path in (ROOT / top).rglob("*.py")] + [ROOT / "__init__.py"]
    serving = re.compile(r"FileResponse|StreamResponse|add_static|routes\.static")
    assert sources and not [path for path in sources if serving.search(path.read_text(encoding="utf-8"))]
