"""--set, --seed and --resume find the inputs that they mean."""
import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.graph import Link
from distill3d.runner.setting import with_settings
from distill3d.runner.workflow_file import read_graph


@pytest.fixture
def graph(registry):
    def stage(title, source):
        return {"class_type": "Distill3D_Optimize", "inputs": {"number": [source, 0], "steps": 10, "seed": 1},
                "_meta": {"title": title}}
    return read_graph({
        "1": {"class_type": "Test_Source", "inputs": {"words": ["9", 0]}}, "2": stage("", "1"),
        "3": stage("Refine", "2"), "4": {"class_type": "Distill3D_ViewPrompt",
                                         "inputs": {"text": "a cat", "negative": "a dog"}},
        "9": {"class_type": "PrimitiveString", "inputs": {"value": "x"}},
        "5": {"class_type": "Test_Scale", "inputs": {"number": ["3", 0], "factor": ["6", 0]}},
        "6": {"class_type": "Test_Ramp", "inputs": {}}}, registry)


@pytest.mark.parametrize("key, text, node, name, value", [
    ("3.steps", "77", "3", "steps", 77),
    ("Refine.steps", "77", "3", "steps", 77),
    ("refine.steps", 77, "3", "steps", 77),
    ("View Prompt.negative", "a rat", "4", "negative", "a rat"),
    ("ViewPrompt.negative", "a rat", "4", "negative", "a rat"),
    ("Distill3D_ViewPrompt.negative", "a rat", "4", "negative", "a rat"),
    ("negative", "", "4", "negative", ""),
    ("prompt", 'a "red" cube = 1', "4", "text", 'a "red" cube = 1'),
    ("text", "a cube", "4", "text", "a cube"),
    ("kind", "soft", "1", "kind", "soft"),
    ("flag", "true", "1", "flag", True),
    ("factor", "3", "5", "factor", 3.0),   # takes the wire of the ramp away
    ("words", "plain", "1", "words", "plain"),
])
def test_addresses(graph, registry, key, text, node, name, value):
    changed = with_settings(graph, registry, {key: text})
    assert changed.nodes[node].inputs[name] == value and type(changed.nodes[node].inputs[name]) is type(value)
    others = [one for one in graph.nodes if one != node]
    assert all(changed.nodes[one] == graph.nodes[one] for one in others)


def test_the_graph_that_came_in_stays(graph, registry):
    with_settings(graph, registry, {"factor": 1.0}, seed=5)
    assert graph.nodes["5"].inputs["factor"] == Link("6", 0) and graph.nodes["2"].inputs["seed"] == 1


@pytest.mark.parametrize("key, value, words", [
    ("steps", "5", ['Setting "steps"', "2 inputs", '"2.steps" (Optimize)', '"3.steps" (Refine)']),
    ("Optimize.steps", "5", ['"2.steps"', '"3.steps"']),  # a title does not take the display name away
    ("stepz", "5", ["no node has a value", 'did you mean "steps"']),
    ("Refin.steps", "5", ['no node "Refin"', 'did you mean "Refine"']),
    ("Refine.stepz", "5", ['Refine (#3) has no value "stepz"', 'did you mean "steps"', "steps, seed, resume"]),
    ("6.steps", "5", ["Ramp (#6)", "Values are: none"]),
    ("2.number", "5", ['has no value "number"']),  # a wire, no widget
    ("3.steps", "many", ['Setting "3.steps"', "Refine (#3)", "not a whole number"]),
    ("3.steps", "0", ["below its minimum 1"]),
    ("kind", "firm", ["not an option"]),
    ("flag", "maybe", ["neither true nor false"]),
])
def test_what_cannot_be_set(graph, registry, key, value, words):
    with pytest.raises(DistillError) as caught:
        with_settings(graph, registry, {key: value})
    assert all(word in str(caught.value) for word in words), caught.value


def test_equal_prompts_change_together_and_different_ones_must_be_named(graph, registry):
    second = read_graph({**graph.to_api(), "7": {"class_type": "Distill3D_ViewPrompt", "inputs": {"text": "a cat"}}},
                        registry)
    changed = with_settings(second, registry, {"prompt": "a cow"})
    assert [changed.nodes[one].inputs["text"] for one in ("4", "7")] == ["a cow", "a cow"]
    with pytest.raises(DistillError, match='"4.text".*"7.text"'):
        with_settings(with_settings(second, registry, {"7.text": "a hen"}), registry, {"prompt": "a cow"})


def test_seed_reaches_every_seed_even_where_the_file_has_none(graph, registry):
    changed = with_settings(graph, registry, seed=42)
    assert [changed.nodes[one].inputs.get("seed") for one in ("1", "2", "3", "4")] == [42, 42, 42, None]
    with pytest.raises(DistillError, match="below its minimum"):
        with_settings(graph, registry, seed=-1)


def test_resume_reaches_every_stage(graph, registry):
    changed = with_settings(graph, registry, resume=True)
    assert [changed.nodes[one].inputs.get("resume") for one in ("1", "2", "3")] == [None, True, True]


def test_nothing_to_seed_or_resume(registry):
    graph = read_graph({"1": {"class_type": "Test_Ramp", "inputs": {}}}, registry)
    with pytest.raises(DistillError, match="no node of this workflow has an input named seed"):
        with_settings(graph, registry, seed=1)
    with pytest.raises(DistillError, match="nothing to resume"):
        with_settings(graph, registry, resume=True)
