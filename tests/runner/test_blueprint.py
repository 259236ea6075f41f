"""Blueprints hold their stage with its numbers, and are what ComfyUI reads."""
import json

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner import blueprint, listing, sync
from distill3d.runner.blueprint import BLUEPRINTS, FOLDER


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_blueprint_is_the_stage_of_its_workflow(name):
    workflow, title = BLUEPRINTS[name]
    data = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    (host,), (inside,) = data["nodes"], data["definitions"]["subgraphs"]
    shipped = json.loads(listing.shipped_workflows()[workflow].read_text(encoding="utf-8"))
    stage = next(one for one in shipped["definitions"]["subgraphs"] if one["name"] == title)
    theirs = next(node for node in shipped["nodes"] if node["type"] == stage["id"])
    assert host["widgets_values"] == theirs["widgets_values"]
    # A widget that was appended to a node later is in the blueprint, which is made anew, and not in the workflow.
    assert [one["type"] for one in inside["nodes"]] == [one["type"] for one in stage["nodes"]]
    ends = [[{key: one[key] for key in ("origin_id", "target_id", "type")} for one in each["links"]]
            for each in (inside, stage)]
    assert ends[0] == ends[1] and inside["description"] and inside["category"] == "Distill3D"
    assert host["type"] == inside["id"] and inside["name"] == name
    assert [one["name"] for one in host["inputs"]] == [one["name"] for one in inside["inputs"]]
    assert not [one for one in host["inputs"] if one["link"] is not None]


def test_ids_differ_and_no_file_is_left_over():
    ids = [json.loads(path.read_text(encoding="utf-8"))["definitions"]["subgraphs"][0]["id"]
           for path in FOLDER.glob("*.json")]
    assert len(set(ids)) == len(ids) == len(BLUEPRINTS)


def test_a_stage_that_does_not_exist():
    with pytest.raises(DistillError, match='no stage "Nothing"'):
        blueprint.blueprint("X", "Nothing", sync.methods()["dreamfusion"])
