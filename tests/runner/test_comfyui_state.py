"""State in ComfyUI: what its cache keeps and what runs anew, and a run that goes on after the server was killed."""
import re
import time

import pytest
import torch

from comfyui_server import Server, needs_comfyui, small
from distill3d.nodes.core.state import read_state

pytestmark = needs_comfyui


def optimizing(**settings):
    """The shipped workflow, its Optimize (id and settings), and nothing behind it but Save State."""
    prompt = small("dreamfusion")
    optimize = next(node for node, one in prompt.items() if one["class_type"] == "Distill3D_Optimize")
    prompt[optimize]["inputs"].update(settings)
    prompt["state"] = {"class_type": "Distill3D_SaveState",
                       "inputs": {"scene": [optimize, 0], "filename_prefix": "kept"}}
    needed, waiting = {}, ["state"]
    while waiting:
        node = waiting.pop()
        needed[node] = prompt[node]
        waiting += [value[0] for value in prompt[node]["inputs"].values() if isinstance(value, list)]
    return needed, optimize


def states(server):
    """Files of runs, each with its inode: a state that is written anew is another file."""
    return {(path.name, path.stat().st_ino) for path in (server.output / "distill3d_states").glob("[!.]*.safetensors")}


def test_two_equal_stages_both_run(server):
    """Each has a panel of its own. Both write the same state, whose name is what the run is made of."""
    prompt, optimize = optimizing(steps=6, seed=11, save_every=600)
    prompt["twin"] = {**prompt[optimize], "inputs": dict(prompt[optimize]["inputs"])}
    prompt["twin state"] = {"class_type": "Distill3D_SaveState",
                            "inputs": {"scene": ["twin", 0], "filename_prefix": "twin"}}
    before, seen = states(server), set()
    name = server.queue(prompt)

    def ended():
        seen.update(states(server) - before)
        return server.request(f"/history/{name}")[1].get(name)

    entry = server.wait_until(300, "Two stages", ended)
    assert entry["status"]["status_str"] == "success", server.tail()
    assert len({file for file, _ in seen}) == 1 and len(seen) == 2
    saved = {node: entry["outputs"][node]["text"][0] for node in ("state", "twin state")}
    assert (server.output / saved["state"]).read_bytes() == (server.output / saved["twin state"]).read_bytes()


def test_only_what_changed_and_what_follows_runs_again(server):
    prompt, optimize = optimizing(steps=3, seed=12)
    server.run(prompt)
    kept = states(server)
    prompt["view"] = {"class_type": "Distill3D_RenderView", "inputs": {
        "scene": [optimize, 0], "width": 16, "height": 16, "elevation": 0.0, "azimuth": 0.0, "distance": 0.0,
        "fovy": 40.0, "shading": "shaded", "background": "white"}}
    prompt["show"] = {"class_type": "PreviewImage", "inputs": {"images": ["view", 0]}}
    cached = dict(server.run(prompt)["status"]["messages"])["execution_cached"]["nodes"]
    assert set(cached) == set(prompt) - {"view", "show"} and states(server) == kept
    prompt["view"]["inputs"]["azimuth"] = 90.0
    assert set(dict(server.run(prompt)["status"]["messages"])["execution_cached"]["nodes"]) == set(prompt) - {"view",
                                                                                                              "show"}


def test_a_loaded_state_that_was_replaced_is_loaded_again(server):
    prompt, optimize = optimizing(steps=3, seed=13)
    name = server.run(prompt)["outputs"]["state"]["text"][0]
    scene = prompt[optimize]["inputs"]["scene"]
    graph = {node: one for node, one in prompt.items() if node not in ("state", optimize)}
    graph["load"] = {"class_type": "Distill3D_LoadState", "inputs": {"scene": scene, "file": name}}
    graph["again"] = {"class_type": "Distill3D_SaveState", "inputs": {"scene": ["load", 0], "filename_prefix": "again"}}
    first = server.run(graph)["outputs"]["again"]["text"][0]
    (again, _), (kept, _) = (read_state(server.output / path) for path in (first, name))  # of different workflows
    assert again.keys() == kept.keys() and all(torch.equal(again[key], kept[key]) for key in kept)
    assert "load" in dict(server.run(graph)["status"]["messages"])["execution_cached"]["nodes"]
    time.sleep(0.01)
    (server.output / name).write_bytes((server.output / name).read_bytes())
    assert "load" not in dict(server.run(graph)["status"]["messages"])["execution_cached"]["nodes"]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(tmp_path):
    prompt, optimize = optimizing(steps=60, seed=14, save_every=0.005)
    server = Server(tmp_path)
    try:
        server.wait_until(300, "The start", server.is_up)
        server.queue(prompt)
        seen = set()
        server.wait_until(300, "Some states", lambda: seen.update(states(server)) or len(seen) > 3)
    finally:
        server.process.kill()
        server.process.wait()
    prompt[optimize]["inputs"]["resume"] = True
    server = Server(tmp_path)
    try:
        server.wait_until(300, "The start", server.is_up)
        entry = server.run(prompt)
        resumed = re.search(r"resumed at step (\d+) of 60", server.log.read_text(errors="replace"))
        assert resumed and 0 < int(resumed.group(1)) < 60
        assert (server.output / entry["outputs"]["state"]["text"][0]).stat().st_size
    finally:
        server.close()
