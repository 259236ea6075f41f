"""Damaged and hostile workflow files: a sentence, within seconds."""
import json
import time

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.check import needed_order
from distill3d.runner.graph import Graph, GraphNode
from distill3d.runner.ui_schema import MAX_NODES, check_ui
from distill3d.runner.workflow_file import read_graph

NODE = {"id": 1, "type": "PrimitiveInt", "widgets_values": [3]}


@pytest.mark.parametrize("data, message", [
    ({"nodes": [], "links": [], "definitions": 1}, "definitions: "), ({"nodes": [3]}, "nodes.0"),
    ({"nodes": [{"id": 1}]}, "nodes.0.type"), ({"nodes": [NODE | {"inputs": 4}]}, "nodes.0.inputs"),
    ({"nodes": [NODE | {"inputs": [{"name": "value", "link": {}}]}]}, "nodes.0.inputs.0.link"),
    ({"nodes": [NODE | {"title": []}]}, "nodes.0.title"),
    ({"nodes": [NODE | {"widgets_values": 3}]}, "nodes.0.widgets_values"),
    ({"nodes": [NODE], "links": [[1]]}, 'of "links" is not'), ({"nodes": [NODE], "links": {"a": 1}}, "links"),
    ({"nodes": [NODE], "definitions": {"subgraphs": [{"nodes": []}]}}, "definitions.subgraphs.0.id"),
    ({"nodes": [NODE | {"type": "x" * 10**6}]}, "no node of type")])
def test_damage_is_said_at_its_place_and_briefly(data, message, registry):
    with pytest.raises(DistillError, match=message) as caught:
        read_graph(data, registry)
    assert len(str(caught.value)) < 1000


def timed(data, registry):
    began = time.perf_counter()
    with pytest.raises(DistillError) as caught:
        read_graph(data, registry)
    assert time.perf_counter() - began < 2
    return str(caught.value)


def test_subgraphs_that_double_twenty_times(registry):
    levels = [{"id": f"g{n}", "nodes": [{"id": k, "type": f"g{n + 1}"} for k in (1, 2)]} for n in range(20)]
    data = {"nodes": [{"id": 1, "type": "g0"}],
            "definitions": {"subgraphs": [*levels, {"id": "g20", "name": "g20", "nodes": [NODE]}]}}
    assert f"more than {MAX_NODES} nodes" in timed(data, registry)


def test_subgraphs_in_a_long_row(registry):
    levels = [{"id": f"g{n}", "nodes": [{"id": 1, "type": f"g{n + 1}"}]} for n in range(2000)]
    assert "64 deep" in timed({"nodes": [{"id": 1, "type": "g0"}], "definitions": {"subgraphs": levels}}, registry)


def test_thousands_of_loose_nodes(registry):
    assert "more than" in timed({"nodes": [NODE | {"id": n} for n in range(30_000)]}, registry)
    assert "more than" in timed({str(n): {"class_type": "PrimitiveInt", "inputs": {}} for n in range(30_000)}, registry)
    nodes = {str(n): GraphNode(str(n), "PrimitiveInt") for n in range(MAX_NODES)}
    began = time.perf_counter()
    assert needed_order(Graph(nodes), registry, list(nodes)) == list(nodes)
    assert time.perf_counter() - began < 1


@pytest.mark.parametrize("text", ["1" * 5000, "[" * 100_000, '{"nodes":' * 5000, "\ufeff{}", "null", '{"nodes": null}'])
def test_files_that_are_no_workflow(text, tmp_path, registry):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DistillError):
        read_graph(tmp_path / "a.json", registry)


def test_shipped_files_have_the_shape():
    from pathlib import Path

    import distill3d

    files = sorted((Path(distill3d.__file__).parent / "workflows").glob("*.json"))
    assert len(files) > 5
    for path in files:
        check_ui(json.loads(path.read_text(encoding="utf-8")))
