"""The pack inside a real ComfyUI, over its HTTP API.

Runs where the environment variable COMFYUI_DIR names a checkout of ComfyUI; COMFYUI_PYTHON may name the interpreter
that has its requirements and the pack's. The server gets a folder of its own: the checkout is not written to.
"""
import shutil
import time

import pytest

from comfyui_server import PACK, needs_comfyui, small
from distill3d.nodes import node_list
from distill3d.runner import schema

pytestmark = needs_comfyui


def test_every_node_is_there(info):
    assert {name for name in info if name.startswith("Distill3D_")} == {schema.schema_of(node).node_id
                                                                        for node in node_list()}


def test_nothing_is_complained_about(server, info):
    start = server.log.read_text(errors="replace").partition("To see the GUI go to")[0]
    complaints = [line for line in start.splitlines()
                  if "distill3d" in line.lower() and any(word in line.lower() for word in ("warn", "error", "failed"))]
    assert not complaints


@pytest.mark.parametrize("node", node_list(), ids=lambda node: node.__name__)
def test_the_schema_means_the_same_there(info, node):
    """What our stand-in makes of a schema, which tests and the command line go by, is what ComfyUI makes of it."""
    there = info[schema.schema_of(node).node_id]
    parts = [there["input"].get(part, {}) for part in ("required", "optional")]
    assert [*parts[0], *parts[1]] == list(schema.inputs_of(node))
    for name, entry in schema.inputs_of(node).items():
        kind, facts = {**parts[0], **parts[1]}[name]
        assert kind == entry.get_io_type() and facts["tooltip"] == entry.tooltip
        assert (name in parts[1]) == bool(entry.optional)
        if "," in kind:  # a number that also takes a wire: the front end shows the widget of this type
            assert facts.get("widgetType") == schema.widget_type(entry)
        if schema.widget_type(entry):
            assert {key: facts.get(key) for key in ("default", "min", "max")} == {
                key: getattr(entry, key) for key in ("default", "min", "max")}
        if kind == "COMBO":
            assert facts["options"] == schema.choices(entry)
    assert there["output"] == [slot.get_io_type() for slot in schema.outputs_of(node)]
    assert there["output_node"] == schema.is_output(node) and there["display_name"] == schema.display_name(node)


@pytest.mark.parametrize("name", ["dreamfusion", "sample_prior", "multi_view", "normal_depth", "variational", "magic3d",
                                  "image_to_3d", "dreamcraft3d", "dreamgaussian"])
def test_a_shipped_workflow_runs_and_runs_only_once(server, info, name):
    prompt = small(name)
    for entry in prompt.values():
        if entry["class_type"] == "LoadImage":  # the pack's own example, which a note offers
            shutil.copy(PACK / "web" / entry["inputs"]["image"], server.folder / "input")
    entry = server.run(prompt)
    assert set(entry["outputs"]) == {node for node, one in prompt.items() if info[one["class_type"]]["output_node"]
                                     and one["class_type"] != "Distill3D_Optimize"}  # which shows its panel only
    files = [file for output in entry["outputs"].values() for listed in output.values() for file in listed
             if isinstance(file, dict)]
    shown = [output for output in entry["outputs"].values() if "result" in output]  # a viewer names what it shows
    assert len(files) + len(shown) >= len(entry["outputs"])
    assert all((server.output / file["subfolder"] / file["filename"]).stat().st_size for file in files)
    again = dict(server.run(prompt)["status"]["messages"])
    assert set(again["execution_cached"]["nodes"]) == set(prompt)


def test_a_graph_that_ends_at_optimize_runs_once(server):
    prompt = small("dreamfusion")
    last = next(node for node, one in prompt.items() if one["class_type"] == "Distill3D_Optimize")
    needed, open_ = set(), [last]
    while open_:
        node = open_.pop()
        needed.add(node)
        open_ += [value[0] for value in prompt[node]["inputs"].values() if isinstance(value, list)]
    part = {node: prompt[node] for node in needed}
    part[last]["inputs"]["seed"] = 31
    name = server.queue(part)
    entry = server.wait_until(120, "The run", lambda: server.request(f"/history/{name}")[1].get(name))
    assert set(entry["outputs"]) == {last}, server.tail()
    assert set(dict(server.run(part)["status"]["messages"])["execution_cached"]["nodes"]) == needed
    prompt[last]["inputs"]["seed"] = 31  # and what comes after it finds its result
    assert set(dict(server.run(prompt)["status"]["messages"])["execution_cached"]["nodes"]) >= needed


def test_a_run_writes_into_the_output_folder_only(server):
    """States, which outlive a run that was stopped, included."""
    def files():
        return {path.relative_to(server.folder) for path in server.folder.rglob("*") if path.is_file()}

    prompt = small("dreamfusion")
    for entry in prompt.values():
        if entry["class_type"] == "Distill3D_Optimize":
            entry["inputs"].update(seed=3, save_every=0.01)
    before = files()
    server.run(prompt)
    new = {path.parts[0] for path in files() - before}
    assert "output" in new and new <= {"output", "temp", "user"}


def test_a_run_is_ended_early_and_kept(server):
    prompt = small("dreamfusion")
    optimize = next(node for node, one in prompt.items() if one["class_type"] == "Distill3D_Optimize")
    prompt[optimize]["inputs"].update(steps=100000, seed=1)
    name = server.queue(prompt)
    assert server.request("/distill3d/finish", {"node": "no such node"})[0] == 409
    server.wait_until(60, "The stage", lambda: server.request("/distill3d/finish", {"node": optimize})[0] == 200)
    entry = server.wait_until(120, "Ending early", lambda: server.request(f"/history/{name}")[1].get(name))
    assert entry["status"]["status_str"] == "success", server.tail()
    assert server.request("/distill3d/finish", {})[0] == 409


def test_an_interrupted_run_does_not_spoil_the_next(server):
    prompt = small("dreamfusion")
    optimize = next(node for node, one in prompt.items() if one["class_type"] == "Distill3D_Optimize")
    prompt[optimize]["inputs"].update(steps=100000, seed=2)
    name = server.queue(prompt)
    server.wait_until(60, "The stage", lambda: server.request("/queue")[1]["queue_running"])
    time.sleep(2)
    server.request("/interrupt", {})
    entry = server.wait_until(60, "Interrupting", lambda: server.request(f"/history/{name}")[1].get(name))
    assert "execution_interrupted" in dict(entry["status"]["messages"]) and not entry["outputs"]
    prompt[optimize]["inputs"]["steps"] = 2
    assert server.run(prompt)["outputs"]


def test_warp_runs_every_op(server):
    """The host imports a pack under the path of its folder, which Warp would make folders of its cache of."""
    for name in "magic3d", "dreamgaussian":  # volumes and meshes, Gaussians
        server.run(small(name))
    found = server.request("/distill3d/kernels")[1]
    assert set(found["ran"]) == {"composite", "encode_hash_grid", "march_rays", "project_gaussians", "splat",
                                 "triangle_ids"}
    assert set(found["ran"].values()) == {"warp"}, found["reasons"]
    assert not any("failed" in reason for reason in found["reasons"].values())


@pytest.mark.parametrize("body", [b"no JSON", b"[1]"])
def test_a_broken_request_is_answered(server, body):
    assert server.request("/distill3d/finish", body)[0] == 400
