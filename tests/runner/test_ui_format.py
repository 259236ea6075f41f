"""The editor's format becomes the same graph that the editor itself would queue."""
import copy

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.check import checked
from distill3d.runner.graph import Link
from distill3d.runner.workflow_file import read_graph

MUTED, BYPASSED = 2, 4
INNER, OUTER = "1f0e6a52-7a42-4a07-9d0c-3c1f0e3b7a11", "c3a8f9d2-52a1-4b8e-8f57-6d6f5f2a9b22"


def test_both_formats_give_one_graph(registry, chain, ui_chain):
    ui, api = (checked(read_graph(one, registry), registry) for one in (ui_chain, chain))
    ui_inputs = {node.id: dict(node.inputs) for node in ui.nodes.values()}
    assert ui_inputs["1"].pop("late") == 0.5  # the editor writes optional widgets too
    assert ui_inputs == {node.id: dict(node.inputs) for node in api.nodes.values()}


@pytest.mark.parametrize("values, expected", [
    ([3.0, 7, "soft", 4, "randomize", "text", True, 0.25], (3.0, 7, "soft", 4, "text", True, 0.25)),
    ([3.0, 7, "soft", 4, "text", True], (3.0, 7, "soft", 4, "text", True, 0.5)),  # written by hand, no mode
    ([3.0, 7, "soft", 4, "fixed", "fixed", True], (3.0, 7, "soft", 4, "fixed", True, 0.5)),
    ([3.0], (3.0, 5, "hard", 0, "", False, 0.5)),  # saved before the others were appended
    (None, (1.0, 5, "hard", 0, "", False, 0.5)),
    ([None, 7], (1.0, 7, "hard", 0, "", False, 0.5)),
    ([3.0, 7, "soft", 4, "fixed", "t", True, 0.1, None, "button"], (3.0, 7, "soft", 4, "t", True, 0.1)),
    ({"count": 9, "flag": True}, (1.0, 9, "hard", 0, "", True, 0.5)),
])
def test_widget_values_by_position(registry, ui_chain, values, expected):
    ui_chain["nodes"][0]["widgets_values"] = values
    inputs = read_graph(ui_chain, registry).nodes["1"].inputs
    assert tuple(inputs[name] for name in ("value", "count", "kind", "seed", "words", "flag", "late")) == expected


def test_a_wired_widget_keeps_its_place_among_the_values(registry, ui_chain, ui_node):
    ui_chain["nodes"] += [ui_node(4, "Test_Ramp", [], [("ramp", "TEST_RAMP", [3])])]
    ui_chain["nodes"][1]["inputs"].append({"name": "factor", "type": "FLOAT,TEST_RAMP", "link": 3,
                                           "widget": {"name": "factor"}})
    ui_chain["links"].append([3, 4, 0, 2, 2, "TEST_RAMP"])
    assert read_graph(ui_chain, registry).nodes["2"].inputs["factor"] == Link("4", 0)


def test_notes_reroutes_and_primitives_never_run(registry, ui_chain, ui_node):
    ui_chain["nodes"] += [
        ui_node(10, "Note", values=["words"]), ui_node(11, "MarkdownNote", values=["# words"]),
        ui_node(12, "Reroute", [("", "*", 1)], [("", "TEST_NUMBER", [5])]),
        ui_node(13, "Reroute", [("", "*", 5)], [("", "TEST_NUMBER", [6])]),
        ui_node(14, "PrimitiveNode", [], [("INT", "INT", [7])], [77, "fixed"])]
    ui_chain["links"] = [[1, 1, 0, 12, 0, "*"], [5, 12, 0, 13, 0, "*"], [6, 13, 0, 2, 0, "*"],
                         [2, 2, 0, 3, 0, "TEST_NUMBER"], [7, 14, 0, 1, 0, "INT"]]
    ui_chain["nodes"][1]["inputs"][0]["link"] = 6
    ui_chain["nodes"][0]["inputs"] = [{"name": "count", "type": "INT", "link": 7, "widget": {"name": "count"}}]
    graph = read_graph(ui_chain, registry)
    assert list(graph.nodes) == ["1", "2", "3"]
    assert graph.nodes["2"].inputs["number"] == Link("1", 0)
    assert graph.nodes["1"].inputs["count"] == 77


def test_a_bypassed_node_passes_on_the_input_of_the_same_type(registry, ui_chain):
    ui_chain["nodes"][1]["mode"] = BYPASSED
    graph = read_graph(ui_chain, registry)
    assert list(graph.nodes) == ["1", "3"] and graph.nodes["3"].inputs["number"] == Link("1", 0)


def test_a_bypassed_node_looks_beyond_the_input_across(registry, ui_chain):
    ui_chain["nodes"][1]["mode"] = BYPASSED
    ui_chain["nodes"][1]["inputs"] = [{"name": "factor", "type": "FLOAT,TEST_RAMP", "link": None},
                                      {"name": "number", "type": "TEST_NUMBER", "link": 1}]
    assert read_graph(ui_chain, registry).nodes["3"].inputs["number"] == Link("1", 0)


def test_a_bypassed_node_without_such_an_input_passes_on_nothing(registry, ui_chain):
    ui_chain["nodes"][0]["mode"] = BYPASSED
    with pytest.raises(DistillError, match=r'Scale \(#2\): the required input "number"'):
        checked(read_graph(ui_chain, registry), registry)


def test_a_muted_node_takes_its_wires_with_it(registry, ui_chain, ui_node):
    ui_chain["nodes"].append(ui_node(4, "Test_Ramp", [], [("ramp", "TEST_RAMP", [3])], mode=MUTED))
    ui_chain["nodes"][1]["inputs"].append({"name": "factor", "type": "FLOAT,TEST_RAMP", "link": 3,
                                           "widget": {"name": "factor"}})
    ui_chain["links"].append([3, 4, 0, 2, 2, "TEST_RAMP"])
    graph = read_graph(ui_chain, registry)
    assert "4" not in graph.nodes and graph.nodes["2"].inputs["factor"] == 4.0  # the widget's own value


def test_an_unknown_node_disturbs_only_when_it_would_run(registry, ui_chain, ui_node):
    ui_chain["nodes"].append(ui_node(4, "Elsewhere"))
    with pytest.raises(DistillError, match="Elsewhere"):
        read_graph(ui_chain, registry)
    ui_chain["nodes"][-1]["mode"] = MUTED
    assert "4" not in read_graph(ui_chain, registry).nodes


def test_titles_name_nodes(registry, ui_chain):
    ui_chain["nodes"][0]["title"] = "Start"
    assert read_graph(ui_chain, registry).nodes["1"].label(registry) == "Start (#1)"


@pytest.mark.parametrize("spoil, words", [
    (lambda ui: ui["links"].pop(0), ['"number" of Test_Scale (#2)', "no link 1"]),
    (lambda ui: ui["links"].__setitem__(0, [1, 99, 0, 2, 0, "*"]), ["no node #99"]),
    (lambda ui: ui["links"].__setitem__(0, [1, "x"]), ["damaged", "links"]),
    (lambda ui: ui["nodes"].append(dict(ui["nodes"][0])), ["two nodes have the id 1"]),
    (lambda ui: ui["nodes"].append({"id": 4}), ["nodes.3.type"]),
    (lambda ui: ui["nodes"].append("node"), ["nodes.3: "]),
    (lambda ui: ui["nodes"][0].update(type="Note"), ["comes from a note"]),
    (lambda ui: ui["nodes"][0].update(type="Reroute", inputs=[{"name": "", "type": "*", "link": 1}]), ["circle"]),
])
def test_damaged_files(registry, ui_chain, spoil, words):
    spoil(ui_chain)
    with pytest.raises(DistillError) as caught:
        read_graph(ui_chain, registry)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.fixture
def nested(ui_node):
    """Source -> [subgraph: Scale -> [subgraph: Scale]] -> Write; both Scales take their factor from outside."""
    inner = {"id": INNER, "name": "Inner", "version": 1, "inputs": [
        {"name": "number", "type": "TEST_NUMBER", "linkIds": [1]}, {"name": "factor", "type": "FLOAT", "linkIds": [3]}],
        "outputs": [{"name": "number", "type": "TEST_NUMBER", "linkIds": [2]}],
        "nodes": [ui_node(1, "Test_Scale", [("number", "TEST_NUMBER", 1), ("factor", "FLOAT,TEST_RAMP", 3, "widget")],
                          [("number", "TEST_NUMBER", [2])], [1.5])],
        "links": [link(1, -10, 0, 1, 0), link(2, 1, 0, -20, 0), link(3, -10, 1, 1, 1)]}
    outer = {"id": OUTER, "name": "Outer", "version": 1, "inputs": [
        {"name": "number", "type": "TEST_NUMBER", "linkIds": [1]}, {"name": "factor", "type": "FLOAT", "linkIds": [4]}],
        "outputs": [{"name": "number", "type": "TEST_NUMBER", "linkIds": [3]}],
        "nodes": [ui_node(7, "Test_Scale", [("number", "TEST_NUMBER", 1), ("factor", "FLOAT,TEST_RAMP", 4, "widget")],
                          [("number", "TEST_NUMBER", [2])], [2.5]),
                  ui_node(8, INNER, [("number", "TEST_NUMBER", 2), ("factor", "FLOAT", None, "widget")],
                          [("number", "TEST_NUMBER", [3])], [6.5])],
        "links": [link(1, -10, 0, 7, 0), link(2, 7, 0, 8, 0), link(3, 8, 0, -20, 0), link(4, -10, 1, 7, 1)]}
    return {"version": 0.4, "definitions": {"subgraphs": [inner, outer]}, "links": [
        [1, 1, 0, 5, 0, "TEST_NUMBER"], [2, 5, 0, 3, 0, "TEST_NUMBER"]], "nodes": [
        ui_node(1, "Test_Source", [], [("number", "TEST_NUMBER", [1])], [3.0]),
        ui_node(5, OUTER, [("number", "TEST_NUMBER", 1), ("factor", "FLOAT", None, "widget")],
                [("number", "TEST_NUMBER", [2])], [8.5]),
        ui_node(3, "Test_Write", [("number", "TEST_NUMBER", 2)], [], ["a/b"])]}


def link(number, origin, origin_slot, target, target_slot):
    return {"id": number, "origin_id": origin, "origin_slot": origin_slot, "target_id": target,
            "target_slot": target_slot, "type": "TEST_NUMBER"}


def test_subgraphs_are_expanded(registry, nested):
    nodes = checked(read_graph(nested, registry), registry).nodes
    assert list(nodes) == ["1", "5:7", "5:8:1", "3"]
    assert nodes["3"].inputs["number"] == Link("5:8:1", 0)
    assert nodes["5:8:1"].inputs == {"number": Link("5:7", 0), "factor": 6.5}  # the value shown on the inner box
    assert nodes["5:7"].inputs == {"number": Link("1", 0), "factor": 8.5}      # on the outer box


def test_values_inside_count_where_the_box_holds_none(registry, nested):
    nested["nodes"][1]["widgets_values"] = []
    assert read_graph(nested, registry).nodes["5:7"].inputs["factor"] == 2.5


def test_one_definition_used_twice_gives_two_nodes(registry, nested, ui_node):
    nested["nodes"].append(ui_node(6, OUTER, [("number", "TEST_NUMBER", 9)], [("number", "TEST_NUMBER", [])]))
    nested["links"].append([9, 1, 0, 6, 0, "TEST_NUMBER"])
    nodes = read_graph(nested, registry).nodes
    assert {"5:7", "6:7", "5:8:1", "6:8:1"} <= set(nodes)
    assert nodes["6:8:1"].inputs["number"] == Link("6:7", 0)


def test_a_bypassed_subgraph_passes_its_input_on_and_a_muted_one_nothing(registry, nested):
    bypassed, muted = copy.deepcopy(nested), copy.deepcopy(nested)
    bypassed["nodes"][1]["mode"], muted["nodes"][1]["mode"] = BYPASSED, MUTED
    nodes = read_graph(bypassed, registry).nodes
    assert list(nodes) == ["1", "3"] and nodes["3"].inputs["number"] == Link("1", 0)
    assert "number" not in read_graph(muted, registry).nodes["3"].inputs


def test_a_subgraph_that_contains_itself(registry, nested):
    nested["definitions"]["subgraphs"][0]["nodes"][0]["type"] = OUTER
    with pytest.raises(DistillError, match='"Outer" contains itself'):
        read_graph(nested, registry)


@pytest.mark.parametrize("name", ["ui_chain", "nested"])
def test_agrees_with_the_converter_of_comfy_cli(registry, object_info, request, name):
    convert = pytest.importorskip("comfy_cli.workflow_to_api").convert_ui_to_api
    ui = request.getfixturevalue(name)
    theirs = convert(copy.deepcopy(ui), object_info(registry.values()))
    ours = read_graph(ui, registry).to_api()
    assert {key: (one["class_type"], one["inputs"]) for key, one in ours.items()} == {
        key: (one["class_type"], one["inputs"]) for key, one in theirs.items()}
