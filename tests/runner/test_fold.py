"""A method with stages becomes subgraphs: the same graph comes back, and the canvas is short and clear."""
import itertools
import json

import pytest

from canvas import bounds, crossings
from distill3d.nodes.core.errors import DistillError
from distill3d.runner import listing, schema
from distill3d.runner.method import api, file
from distill3d.runner.workflow_file import read_graph
from distill3d.workflows.description import Method, Wire, node, stage

CHAIN = Method({"source": node(":Test_Source", value=3.0, seed=5, within="A"),
                "ramp": node(":Test_Ramp", within="A"),
                "scale": node(":Test_Scale", number=Wire("source", "number"), factor=4.0, titled="Twice", within="B"),
                "again": node(":Test_Scale", number=Wire("scale"), other=Wire("source"), factor=Wire("ramp")),
                "write": node(":Test_Write", number=Wire("again"), filename_prefix="a/b")},
               groups=("A", "B"), notes=("# A chain\nOf two stages.",),
               stages=(stage("First", "scale", keeps=("source",), shows={"how much": "source.value",
                                                                         "seed": "source.seed"}, about="Doubles."),
                       stage("Second", "again", keeps=("source", "ramp"), shows={})))


def wiring(graph):
    """{type and title: inputs with the types of their sources}, without ids."""
    def told(value):
        return (graph.nodes[value.node].type, value.slot) if hasattr(value, "slot") else value

    return sorted((one.type, one.title, repr(sorted((key, told(value)) for key, value in one.inputs.items())))
                  for one in graph.nodes.values())


def test_the_stages_hold_the_graph(registry):
    sheet = file(CHAIN, registry)
    first, second = sheet["definitions"]["subgraphs"]
    assert [one["name"] for one in (first, second)] == ["First", "Second"] and first["description"] == "Doubles."
    hosts = [one for one in sheet["nodes"] if one["type"] in (first["id"], second["id"])]
    assert hosts[0]["widgets_values"] == [3.0, 5] and len(sheet["nodes"]) == 4  # with the writer and the note
    assert sorted(one["type"] for one in second["nodes"]) == ["Test_Ramp", "Test_Scale", "Test_Source"]  # a copy
    titles = {one.title for one in CHAIN.gathered().nodes.values()} - {""}
    assert titles == {"Twice"}
    folded = read_graph(json.loads(json.dumps(sheet)), registry)
    flat = read_graph(api(CHAIN, registry), registry)
    assert all(":" in one for one, node in folded.nodes.items() if node.type != "Test_Write")
    for values in wiring(flat):
        assert any(values[0] == other[0] for other in wiring(folded))
    assert {one.inputs["value"] for one in folded.nodes.values() if one.type == "Test_Source"} == {3.0}


def test_a_value_of_the_host_is_the_value_of_the_node(registry):
    sheet = file(CHAIN, registry)
    host = next(one for one in sheet["nodes"] if one["widgets_values"] == [3.0, 5])
    host["widgets_values"] = [7.0, 9]
    folded = read_graph(sheet, registry)
    source = next(one for one in folded.nodes.values() if one.type == "Test_Source" and one.id.startswith(
        f'{host["id"]}:'))
    assert (source.inputs["value"], source.inputs["seed"]) == (7.0, 9)
    host["properties"]["proxyWidgets"] = [["-1", "seed"], ["-1", "how much"]]  # older editors' order
    host["widgets_values"] = [2, 1.5]
    source = read_graph(sheet, registry).nodes[source.id]
    assert (source.inputs["value"], source.inputs["seed"]) == (1.5, 2)


@pytest.mark.parametrize("stages, message", [
    ((stage("A", "nothing"),), 'no node "nothing"'),
    ((stage("A", "scale", shows={"x": "write.filename_prefix"}),), '"A" shows "write.filename_prefix"'),
    ((stage("A", "scale", shows={"x": "scale.facto"}),), '"scale.facto" is no widget'),
    ((stage("A", "again", keeps=("source", "ramp", "scale"), shows={"x": ("source.value", "scale.factor")}),),
     "different values"),
])
def test_mistakes(registry, stages, message):
    with pytest.raises(DistillError, match=message):
        file(Method(CHAIN.nodes, CHAIN.groups, (), stages), registry)


SHIPPED = listing.shipped_workflows()
STAGED = [name for name, path in SHIPPED.items() if "definitions" in json.loads(path.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("name", STAGED)
def test_a_shipped_canvas_is_short_and_clear(name):
    data = json.loads(SHIPPED[name].read_text(encoding="utf-8"))
    assert len(data["nodes"]) <= 16 and len(data["links"]) <= 31
    assert data["extra"]["ds"]["scale"] >= 0.6
    for a, b in itertools.combinations(map(bounds, data["nodes"]), 2):
        assert a[0] >= b[2] or b[0] >= a[2] or a[1] >= b[3] or b[1] >= a[3]
    assert len(crossings(data)) <= 4


@pytest.mark.parametrize("name", STAGED)
def test_the_first_view_shows_the_note_and_what_is_asked(name):
    """On a screen of 1600 x 900, with the editor's bars."""
    data = json.loads(SHIPPED[name].read_text(encoding="utf-8"))
    scale, (left, top) = data["extra"]["ds"]["scale"], data["extra"]["ds"]["offset"]
    note = next(node for node in data["nodes"] if node["type"] == "MarkdownNote")
    for x, y in (bounds(note)[:2], bounds(note)[2:]):
        assert 50 <= (x + left) * scale <= 1600 and 50 <= (y + top) * scale <= 900


def test_a_mesh_is_shown_where_one_is_made():
    registry = schema.default_registry()
    for name, path in SHIPPED.items():
        types = [node.type for node in read_graph(path, registry).nodes.values()]
        assert "Preview3D" in types or "Distill3D_SaveMesh" not in types, name
