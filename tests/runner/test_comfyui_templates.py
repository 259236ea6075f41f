"""The pack's workflows in the editor of a real ComfyUI: each opens whole, and is saved again as it is shipped.

Needs what comfyui_server.py's drive needs. Opened in the classic canvas and in Nodes 2.0, whose nodes are taller.
"""
import itertools
import json
from urllib.parse import quote

import pytest

from comfyui_server import drive, needs_comfyui
from distill3d.runner import listing

pytestmark = needs_comfyui
SHIPPED = {path.stem: path for path in listing.shipped_workflows().values()}  # by title
# The editor writes more of a slot than it needs, labels in the user's language for one, and what an input takes as the
# present schema has it.
SLOT = {"inputs": ("name", "link", "widget"), "outputs": ("name", "type", "links")}


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def opened(server, request):
    return drive(server, "comfyui_drive_templates.py", str(int(request.param != "classic")))


def test_all_are_in_the_template_browser(opened):
    assert set(opened["templates"]) == set(SHIPPED)
    assert opened["errors"] == []


def test_the_pictures_are_served(server):
    for name, path in SHIPPED.items():
        status = server.status(f"/api/workflow_templates/distill3d/{quote(name)}.jpg")
        assert status == (200 if path.with_suffix(".jpg").is_file() else 404)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_node_is_known(opened, name):
    template = opened["templates"][name]
    assert template["live"] and not [node["id"] for node in template["live"] if not node["known"]]
    assert not [text for text in template["alerts"] if "Missing Node" in text]


def essence(node, shipped):
    """Of a saved node, what must be as it is shipped. The editor adds: an input for an upload, what became of a picture
    or a viewer, and in Nodes 2.0 height."""
    known = {slot["name"] for slot in shipped.get("inputs") or []}
    slots = {side: [{key: slot[key] for key in keys if slot.get(key) not in (None, [])} for slot in node.get(side) or []
                    if side == "outputs" or slot["name"] in known] for side, keys in SLOT.items()}
    properties = {key: value for key, value in node["properties"].items() if key != "previewExposures"}  # of subgraphs
    return {**{key: node.get(key) for key in ("id", "type", "title", "pos", "flags", "mode")}, **slots,
            "properties": properties,
            "width": node["size"][0],
            "widgets": (node.get("widgets_values") or [])[:len(shipped.get("widgets_values") or [])]}


@pytest.mark.parametrize("name", SHIPPED)
def test_saving_again_keeps_what_is_shipped(opened, name):
    saved, shipped = opened["templates"][name]["saved"], json.loads(SHIPPED[name].read_text(encoding="utf-8"))
    there = {node["id"]: node for node in saved["nodes"]}
    assert there.keys() == {node["id"] for node in shipped["nodes"]}
    for node in shipped["nodes"]:
        assert essence(there[node["id"]], node) == essence(node, node)
    assert sorted(saved["links"]) == sorted(shipped["links"]) and saved["version"] == shipped["version"] == 0.4
    assert [[group[key] for key in ("title", "bounding")] for group in saved["groups"]] == [
        [group[key] for key in ("title", "bounding")] for group in shipped["groups"]]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_nodes_overlap_and_wires_run_to_the_right(opened, name):
    # left, top, width, height, with title
    boxes = {int(node["id"]): node["box"] for node in opened["templates"][name]["live"]}
    for (a, (x, y, w, h)), (b, (left, top, width, height)) in itertools.combinations(boxes.items(), 2):
        assert x >= left + width or left >= x + w or y >= top + height or top >= y + h, (a, b)
    for _, source, _, target, *_ in opened["templates"][name]["saved"]["links"]:
        assert boxes[source][0] + boxes[source][2] < boxes[target][0], (source, target)
