"""Every workflow file of the pack fits the schemas of its nodes."""
import json

import pytest

from distill3d.nodes.comfy.node import check_schedules
from distill3d.nodes.models.published import find_model
from distill3d.nodes.optimize.schedule import ScheduleNode
from distill3d.runner import listing, schema
from distill3d.runner.check import checked
from distill3d.runner.graph import Link
from distill3d.runner.workflow_file import read_graph

SHIPPED = listing.shipped_workflows()
pytestmark = pytest.mark.parametrize("name", SHIPPED)


def drawn(name):
    """Every node of a file and of its subgraphs."""
    data = json.loads(SHIPPED[name].read_text(encoding="utf-8"))
    sheets = (data.get("definitions") or {}).get("subgraphs") or []
    return [node for sheet in (data, *sheets) for node in sheet["nodes"]
            if node["type"] not in [one["id"] for one in sheets]]


def test_fits_the_schemas(name):
    registry = schema.default_registry()
    graph = checked(read_graph(SHIPPED[name], registry), registry)
    assert any(schema.is_output(registry[node.type]) for node in graph.nodes.values())


def test_schedules_stay_within_the_limits(name):
    registry = schema.default_registry()
    nodes = read_graph(SHIPPED[name], registry).nodes
    for node in nodes.values():
        given = {key: ScheduleNode.execute(**nodes[value.node].inputs).args[0] for key, value in node.inputs.items()
                 if isinstance(value, Link) and nodes[value.node].type == "Distill3D_Schedule"}
        if given:
            check_schedules(registry[node.type], registry[node.type].execute.__func__, (), given)


def test_is_what_an_editor_saves(name):
    data = json.loads(SHIPPED[name].read_text(encoding="utf-8"))
    assert data["version"] == 0.4
    ids = [node["id"] for node in data["nodes"]]
    assert len(set(ids)) == len(ids) and max(ids) <= data["last_node_id"]
    assert all(len(link) == 6 for link in data["links"])
    assert max((link[0] for link in data["links"]), default=0) <= data["last_link_id"]


def test_no_value_is_lost_or_shifted(name):
    """Each node holds as many values as its widgets and control modes take, but for optional widgets at the end, which
    may have been appended to the node after the file was written."""
    registry = schema.default_registry()
    for node in drawn(name):
        if node["type"] in registry and not schema.is_lenient(registry[node["type"]]):
            widgets = schema.widgets_of(registry[node["type"]])
            values, whole = len(node.get("widgets_values") or []), len(widgets) + sum(map(schema.has_control, widgets))
            needed = max((i + 1 for i, widget in enumerate(widgets) if not widget.optional), default=0)
            assert needed <= values <= whole, node["type"]


def test_agrees_with_the_converter_of_comfy_cli(name, object_info):
    convert = pytest.importorskip("comfy_cli.workflow_to_api").convert_ui_to_api
    registry = schema.default_registry()
    theirs = convert(json.loads(SHIPPED[name].read_text(encoding="utf-8")), object_info(registry.values()))
    ours = read_graph(SHIPPED[name], registry).to_api()
    assert {key: (one["class_type"], one["inputs"]) for key, one in theirs.items()} == {
        key: (one["class_type"], one["inputs"]) for key, one in ours.items()}


def test_files_that_can_be_fetched_are_offered(name):
    """Each node that names a file of the model table says where it comes from, as the table does."""
    for node in drawn(name):
        known = [find_model(value) for value in node.get("widgets_values") or [] if isinstance(value, str)
                 and "\n" not in value]
        wanted = [model.download for model in known if model is not None and model.download]
        assert node["properties"].get("models", []) == wanted


def test_the_listing_says_what_it_does(name):
    """Also without a picture of its result."""
    line, = (line for line in listing.list_workflows().splitlines() if line.split()[0] == name)
    assert 30 < len(line) < 240
