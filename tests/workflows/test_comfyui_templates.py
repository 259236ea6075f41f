"""The pack's workflows in the editor of a real ComfyUI: each opens whole, and is saved again as it is shipped.

Needs what comfyui_server.py's drive needs. Opened in the classic canvas and in Nodes 2.0, whose nodes are taller.
"""
import itertools
import json

import pytest
from comfyui_server import drive, needs_comfyui

from distill3d.workflows import listing

pytestmark = needs_comfyui
SHIPPED = listing.shipped_workflows()
# The editor writes more of a slot than it needs: labels in the user's language, colours, numbers that follow from others.
SLOT = {"inputs": ("name", "type", "link", "widget", "shape"), "outputs": ("name", "type", "links")}


@pytest.fixture(scope="module", params=["classic", "Nodes 2.0"])
def opened(server, request):
    return drive(server, "comfyui_drive_templates.py", str(int(request.param != "classic")))


def test_all_are_in_the_template_browser(opened):
    assert set(opened["templates"]) == set(SHIPPED)
    assert opened["errors"] == []


def test_the_pictures_are_served(server):
    for name, path in SHIPPED.items():
        status = server.status(f"/api/workflow_templates/distill3d/{name}.jpg")
        assert status == (200 if path.with_suffix(".jpg").is_file() else 404)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_node_is_known(opened, name):
    template = opened["templates"][name]
    wrong = {node["id"] for node in template["live"] if node["has_errors"] or not node["known"]}
    # Which picture, the user says.
    assert wrong <= {node["id"] for node in template["saved"]["nodes"] if node["type"] == "LoadImage"}
    assert not [text for text in template["alerts"] if "Missing Node" in text]


def essence(workflow):
    """What a saved file must keep."""
    def slots(node, side):
        return [{key: slot[key] for key in SLOT[side] if slot.get(key) not in (None, [])} for slot in node.get(side) or []]

    nodes = {node["id"]: {
        **{key: node.get(key) for key in ("type", "title", "pos", "size", "flags", "mode", "properties")},
        "inputs": slots(node, "inputs"), "outputs": slots(node, "outputs"),
        # The editor adds to a picture's name what became of it.
        "widgets": node.get("widgets_values", [])[:1 if node["type"] == "LoadImage" else None]} for node in workflow["nodes"]}
    groups = [{key: group[key] for key in ("title", "bounding", "color")} for group in workflow["groups"]]
    return {"nodes": nodes, "links": sorted(workflow["links"]), "groups": groups, "version": workflow["version"]}


@pytest.mark.parametrize("name", SHIPPED)
def test_saving_again_keeps_what_is_shipped(opened, name):
    saved, shipped = essence(opened["templates"][name]["saved"]), essence(json.loads(SHIPPED[name].read_text(encoding="utf-8")))
    for node in shipped["nodes"]:
        assert saved["nodes"][node] == shipped["nodes"][node]
    assert saved == shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_no_nodes_overlap_and_wires_run_to_the_right(opened, name):
    boxes = {node["id"]: node["box"] for node in opened["templates"][name]["live"]}  # left, top, width, height, with title
    for (a, (x, y, w, h)), (b, (left, top, width, height)) in itertools.combinations(boxes.items(), 2):
        assert x >= left + width or left >= x + w or y >= top + height or top >= y + h, (a, b)
    for _, source, _, target, *_ in opened["templates"][name]["saved"]["links"]:
        assert boxes[source][0] + boxes[source][2] < boxes[target][0], (source, target)
