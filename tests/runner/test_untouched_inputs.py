"""No node changes what it is given: ComfyUI hands the same object to every consumer, and keeps it for later runs."""
import pytest

from distill3d.nodes.optimize.fingerprint import fingerprint
from distill3d.runner import run, schema
from distill3d.runner.graph import GraphNode, Link
from distill3d.runner.listing import find_workflow
from distill3d.runner.workflow_file import read_graph

SMALL = {"Optimize.steps": 2, "Extract Mesh.resolution": 20, "Unwrap UV.atlas": "boxes", "Unwrap UV.texture_size": 256,
         "Bake Texture.texture_size": 256, "Turntable.frames": 2, "Turntable.size": 16}


def content(value):
    return fingerprint(value.get_bytes() if hasattr(value, "get_bytes") else value)


@pytest.fixture
def changed(monkeypatch):
    """Runs as usual, and notes every input that a node left different from how it got it."""
    found, original = [], run._execute

    def execute(node, registry, outputs, *others):
        given = {name: outputs[link.node][link.slot] for name, link in node.links()}
        before = {name: content(value) for name, value in given.items()}
        result = original(node, registry, outputs, *others)
        found.extend(f"{node.label(registry)}: {name}"
                     for name, value in given.items() if content(value) != before[name])
        return result

    monkeypatch.setattr(run, "_execute", execute)
    return found


def test_a_whole_workflow_and_what_else_takes_its_scene_and_mesh(here, changed):
    registry = schema.default_registry()
    graph = read_graph(find_workflow("dreamfusion"), registry)
    kinds = {node.type: key for key, node in graph.nodes.items()}
    scene, mesh = Link(kinds["Distill3D_Optimize"], 0), Link(kinds["Distill3D_BakeTexture"], 0)
    more = {"view": ("Distill3D_RenderView", {"scene": scene, "width": 16, "height": 16}),
            "show": ("PreviewImage", {"images": Link("view", 0)}),
            "state": ("Distill3D_SaveState", {"scene": scene}),
            "again": ("Distill3D_Optimize",
                      {"scene": scene, "objective": graph.nodes[kinds["Distill3D_Optimize"]].inputs["objective"],
                                             "steps": 2}),
            "keep": ("Distill3D_SaveState", {"scene": Link("again", 0)}),
            "file": ("Distill3D_SaveMesh", {"mesh": mesh, "format": "ply"}),
            "back": ("Distill3D_LoadMesh", {"file": Link("file", 0)}),
            "glb": ("SaveGLB", {"mesh": Link("back", 0)})}
    graph = type(graph)({**graph.nodes, **{key: GraphNode(key, kind, inputs) for key, (kind, inputs) in more.items()}})
    for key, value in SMALL.items():
        title, name = key.split(".")
        for node_id, node in graph.nodes.items():
            if schema.display_name(registry[node.type]) == title and node_id not in more:
                graph = graph.with_input(node_id, name, value)
    result = run.run_workflow(graph, host=here)
    assert not changed and set(more) <= set(result.outputs)


def test_the_check_sees_a_change(here, changed, registry, chain, monkeypatch):
    import torch

    from distill3d.nodes.comfy import io

    values = torch.zeros(3)
    monkeypatch.setattr(registry["Test_Source"], "execute", classmethod(lambda cls, **_: io.NodeOutput(values, "")))
    monkeypatch.setattr(registry["Test_Scale"], "execute",
                        classmethod(lambda cls, number, **_: io.NodeOutput(number.add_(1))))
    run.run_workflow(chain, classes=registry)
    assert changed == ["Scale (#2): number"]
