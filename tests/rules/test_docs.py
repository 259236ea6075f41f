"""The pages in docs/ name files, commands and code that exist."""
import re

import pytest

from distill3d.runner import scaffold, sync
from distill3d.runner.method import file
from import_graph import ROOT

PAGES = sorted((ROOT / "docs").rglob("*.md"))
ADD = ROOT / "docs" / "add"
PLACEHOLDER = re.compile(r"NAME|TotalVariation|total_variation|cosine_volume|normal_color|tiny_model")

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


@every_page
def test_files_exist(page):
    """Words in code that are paths below a folder of the pack, and links."""
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"`((?:kernels|nodes|runner|workflows|tests|web|docs|locales)/[^`\s(]*)`", text)
    missing = [path for path in paths if not PLACEHOLDER.search(path) and not (ROOT / path).exists()]
    links = [link for link in re.findall(r"\]\(([^)#:\s]+)\)", text) if not (page.parent / link).exists()]
    assert not missing and not links


def test_there_is_a_page_for_whatever_can_be_begun():
    for kind in scaffold.ROOMS:
        assert f"distill3d new {kind} " in (ADD / f"{kind}.md").read_text(encoding="utf-8")


def test_the_method_of_the_page_becomes_a_workflow():
    block = re.search(r"```python\n(.*?)```", (ADD / "method.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    source = re.sub(r"(?m)^   ", "", block)
    made = {"__package__": sync.methods.__globals__["__package__"].replace("runner", "workflows.methods")}
    exec(source, made)
    data = file(made["METHOD"])
    nodes = {node["type"]: node for sheet in (data, *data["definitions"]["subgraphs"]) for node in sheet["nodes"]}
    assert "Distill3D_SparsityLoss" not in nodes and nodes["Distill3D_Optimize"]["widgets_values"][0] == 500
    assert nodes["Distill3D_NormalSmoothnessLoss"]["outputs"][0]["links"]
