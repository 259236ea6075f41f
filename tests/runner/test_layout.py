"""A description becomes a sheet: the same graph comes back, and nothing overlaps."""
import itertools

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.check import checked
from distill3d.runner.layout import TITLE, to_ui
from distill3d.runner.workflow_file import read_graph


@pytest.fixture
def api():
    return {"10": {"class_type": "Test_Source", "inputs": {"value": 3.0, "kind": "soft", "seed": 5, "words": "a\nb"}},
            "11": {"class_type": "Test_Ramp", "inputs": {}},
            "12": {"class_type": "Test_Scale", "inputs": {"number": ["10", 0], "factor": ["11", 0]}},
            "13": {"class_type": "Test_Scale", "inputs": {"number": ["12", 0], "other": ["10", 0], "factor": 3.0}},
            "14": {"class_type": "Distill3D_Optimize", "inputs": {"number": ["13", 0]}},
            "15": {"class_type": "Test_Write", "inputs": {"number": ["14", 0], "filename_prefix": "x"}},
            "16": {"class_type": "Test_Write", "inputs": {"number": ["13", 0], "filename_prefix": "y"}}}


@pytest.fixture
def sheet(api, registry):
    return to_ui(api, registry, {"13": "Again"}, {"Scene": ["10", "11", "12"], "Guidance": ["13", "16"]},
                 ["# What\n\nA note.", "Another. " * 30])


def test_the_graph_comes_back(api, registry, sheet):
    direct, through = (checked(read_graph(one, registry), registry) for one in (api, sheet))
    assert set(through.nodes) == set(direct.nodes)
    for node_id, node in direct.nodes.items():
        inputs = dict(through.nodes[node_id].inputs)
        late = inputs.pop("late", 0.5)  # an optional widget: the editor writes its default
        assert inputs == dict(node.inputs) and late == 0.5
    assert through.nodes["13"].title == "Again" and through.nodes["12"].title == ""


def test_the_file_is_whole(sheet):
    nodes = {node["id"]: node for node in sheet["nodes"]}
    assert sheet["version"] == 0.4 and sheet["last_node_id"] == max(nodes) and len(nodes) == len(sheet["nodes"])
    assert sheet["last_link_id"] == len(sheet["links"]) == len({link[0] for link in sheet["links"]}) == 7
    for number, source, slot, target, target_slot, kind in sheet["links"]:
        assert number in nodes[source]["outputs"][slot]["links"] and nodes[source]["outputs"][slot]["type"] == kind
        assert nodes[target]["inputs"][target_slot]["link"] == number
        assert kind in nodes[target]["inputs"][target_slot]["type"].split(",")
    source = nodes[10]
    assert source["widgets_values"] == [3.0, 5, "soft", 5, "fixed", "a\nb", False, 0.5]
    assert [entry["widget"]["name"] for entry in source["inputs"]] == [
        "value", "count", "kind", "seed", "words", "flag", "late"]
    assert [entry["name"] for entry in nodes[12]["inputs"]] == ["number", "other", "factor"]
    assert nodes[12]["widgets_values"] == [2.0]


def box(node):
    return (node["pos"][0], node["pos"][1] - TITLE, node["pos"][0] + node["size"][0], node["pos"][1] + node["size"][1])


def frame(group):
    left, top, width, height = group["bounding"]
    return left, top, left + width, top + height


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_nothing_overlaps_and_wires_run_to_the_right(sheet):
    nodes = {node["id"]: node for node in sheet["nodes"]}
    assert not [(a["id"], b["id"]) for a, b in itertools.combinations(sheet["nodes"], 2) if overlap(box(a), box(b))]
    for _, source, _, target, _, _ in sheet["links"]:
        assert box(nodes[source])[2] < box(nodes[target])[0]


def test_a_frame_holds_its_own_nodes_only(sheet):
    assert [group["title"] for group in sheet["groups"]] == ["Scene", "Guidance"]
    members = [{10, 11, 12}, {13, 16}]
    for group, own in zip(sheet["groups"], members, strict=True):
        edges = frame(group)
        for node in sheet["nodes"]:
            inside = (edges[0] <= box(node)[0] and edges[1] <= box(node)[1] and box(node)[2] <= edges[2]
                      and box(node)[3] <= edges[3])
            assert inside if node["id"] in own else not overlap(edges, box(node))
    assert not overlap(*map(frame, sheet["groups"]))


def test_text_boxes_and_long_notes_are_taller(registry, sheet):
    nodes = {node["id"]: node for node in sheet["nodes"]}
    assert nodes[10]["size"][1] > 100 + 24 * 6 and nodes[10]["size"][0] > nodes[12]["size"][0]
    assert nodes[18]["size"][1] > nodes[17]["size"][1] and nodes[18]["type"] == "MarkdownNote"


def test_equal_descriptions_give_equal_files(api, registry, sheet):
    assert to_ui(api, registry, {"13": "Again"}, {"Scene": ["10", "11", "12"], "Guidance": ["13", "16"]},
                 ["# What\n\nA note.", "Another. " * 30]) == sheet


def test_ids_may_be_words(registry):
    sheet = to_ui({"source": {"class_type": "Test_Source", "inputs": {}},
                   "save": {"class_type": "Test_Write", "inputs": {"number": ["source", 0]}}}, registry)
    assert [node["id"] for node in sheet["nodes"]] == [1, 2] and sheet["links"] == [[1, 1, 0, 2, 0, "TEST_NUMBER"]]
    assert sheet["groups"] == []


@pytest.mark.parametrize("options, message", [
    ({"titles": {"1O": "x"}}, 'no node "1O"'), ({"groups": {"A": ["99"]}}, 'no node "99"'),
    ({"groups": {"A": ["10"], "B": ["10"]}}, 'node "10" is in two groups')])
def test_mistakes(api, registry, options, message):
    with pytest.raises(DistillError, match=message):
        to_ui(api, registry, **options)


def test_a_graph_that_could_not_run_is_not_laid_out(api, registry):
    api["13"]["inputs"]["factor"] = 99.0
    with pytest.raises(DistillError, match="above its maximum"):
        to_ui(api, registry)


def test_agrees_with_the_converter_of_comfy_cli(registry, sheet, object_info):
    convert = pytest.importorskip("comfy_cli.workflow_to_api").convert_ui_to_api
    theirs = convert(sheet, object_info(registry.values()))
    ours = read_graph(sheet, registry).to_api()
    assert {key: one["inputs"] for key, one in theirs.items()} == {key: one["inputs"] for key, one in ours.items()}


def test_groups_in_other_columns_stand_side_by_side_and_notes_beside_the_first(registry):
    api = {"1": {"class_type": "Test_Source", "inputs": {}}, "2": {"class_type": "Distill3D_ViewPrompt", "inputs": {}},
           "3": {"class_type": "Test_Scale", "inputs": {"number": ["1", 0]}},
           "4": {"class_type": "Test_Write", "inputs": {"number": ["3", 0]}},
           "5": {"class_type": "Test_Write", "inputs": {"number": ["1", 0]}}}
    sheet = to_ui(api, registry, groups={"Late": ["4"], "Early": ["1"], "Wide": ["3", "5"]}, notes=["Short."])
    late, early, wide = map(frame, sheet["groups"])
    assert early[1] == late[1] and early[2] < late[0]
    assert wide[1] > late[3] and not overlap(wide, early)
    note = box(sheet["nodes"][-1])
    assert note[2] < min(early[0], late[0]) and not any(overlap(note, one) for one in (late, early, wide))
    beside = to_ui(api, registry, groups={"Late": ["4"]}, notes=["Short."])
    assert 0 < beside["groups"][0]["bounding"][0] - box(beside["nodes"][-1])[2] < 200


def test_nodes_below_each_other_are_equally_wide(sheet):
    places = [(node["pos"][0], node["size"][0]) for node in sheet["nodes"] if node["id"] in (10, 11)]
    assert len({width for left, width in places}) == len({left for left, _ in places})


FILE = {"name": "soft", "url": "https://a.b/soft", "directory": "checkpoints"}


def test_the_editor_is_told_where_models_come_from(api, registry, sheet):
    nodes = to_ui(api, registry, models={"10": [FILE]})["nodes"]
    assert [node["id"] for node in nodes if "models" in node["properties"]] == [10]
    assert nodes[0]["properties"] == {**sheet["nodes"][0]["properties"], "models": [FILE]}


@pytest.mark.parametrize("models, message", [({"99": [FILE]}, 'no node "99"'),
                                             ({"10": [{**FILE, "name": "b"}]}, r'Source \(#10\) does not load "b"')])
def test_models_that_could_not_be_offered(api, registry, models, message):
    with pytest.raises(DistillError, match=message):
        to_ui(api, registry, models=models)
