"""Reading files: both formats give one graph, and a broken file gives one clear error."""
import json

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.graph import Graph, GraphNode, Link
from distill3d.runner.workflow_file import read_graph


def test_api_format(registry, chain):
    graph = read_graph(chain, registry)
    assert list(graph.nodes) == ["1", "2", "3"]
    assert graph.nodes["2"] == GraphNode("2", "Test_Scale", {"number": Link("1", 0), "factor": 4.0})
    assert dict(graph.nodes["2"].links()) == {"number": Link("1", 0)}


def test_to_api_is_the_inverse(registry, chain):
    chain["1"]["_meta"] = {"title": "First"}
    assert read_graph(chain, registry).to_api() == chain


def test_the_queue_wrapper_is_taken_off(registry, chain):
    assert read_graph({"prompt": chain, "client_id": "x"}, registry) == read_graph(chain, registry)


def test_a_wrapped_list_is_a_value_and_no_wire(registry, chain):
    chain["1"]["inputs"]["words"] = {"__value__": ["1", 0]}
    assert read_graph(chain, registry).nodes["1"].inputs["words"] == ["1", 0]


def test_file_names_give_the_graph_its_name(registry, chain, tmp_path):
    path = tmp_path / "magic.json"
    path.write_text(json.dumps(chain))
    assert read_graph(path, registry).name == "magic"
    assert read_graph(str(path), registry).nodes == read_graph(chain, registry).nodes


def test_with_input_leaves_the_old_graph_alone(registry, chain):
    graph = read_graph(chain, registry)
    other = graph.with_input("2", "factor", 5.0)
    assert (graph.nodes["2"].inputs["factor"], other.nodes["2"].inputs["factor"]) == (4.0, 5.0)
    assert isinstance(other, Graph) and other.nodes["1"] is graph.nodes["1"]


@pytest.mark.parametrize("text, words", [
    ('{"1": {"class_type": "Test_Source",}}', ["line 1", "column", "not valid JSON"]),
    ('{\n "1": \n', ["line 3", "not valid JSON"]),
    ("", ["line 1", "column 1"]),
    ("[1, 2]", ["not a workflow", "nodes", "class_type"]),
    ("{}", ["not a workflow"]),
    ('{"1": {"inputs": {}}}', ["not a workflow"]),
    ('{"1": {"class_type": 5, "inputs": {}}}', ["#1", "damaged"]),
    ('{"1": {"class_type": "Test_Source", "inputs": [1]}}', ["#1", "damaged"]),
    ("[" * 100_000, ["no readable JSON"]),
])
def test_broken_files(registry, tmp_path, text, words):
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(DistillError) as caught:
        read_graph(path, registry)
    assert "bad" in str(caught.value) or "#1" in str(caught.value)
    assert all(word in str(caught.value) for word in words)


def test_a_missing_file_and_a_binary_one(registry, tmp_path):
    with pytest.raises(DistillError, match="No such file"):
        read_graph(tmp_path / "absent.json", registry)
    (tmp_path / "picture.json").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(DistillError, match="no readable JSON"):
        read_graph(tmp_path / "picture.json", registry)
    with pytest.raises(DistillError, match="Cannot read"):
        read_graph(tmp_path, registry)
