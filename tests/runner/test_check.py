"""Every way in which a graph can be wrong gives one clear error before anything runs."""
import math

import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.runner.check import checked, needed_order
from distill3d.runner.run import run_workflow
from distill3d.runner.workflow_file import read_graph


def change(node, name, value):
    def apply(api):
        api[node]["inputs"][name] = value
    return apply


def drop(node, name):
    def apply(api):
        del api[node]["inputs"][name]
    return apply


def kind(node, name):
    def apply(api):
        api[node]["class_type"] = name
    return apply


WRONG = {
    "unknown type": (kind("1", "Test_Sorce"), ["Test_Sorce (#1)", 'did you mean "Test_Source"', "mute or remove"]),
    "type of another pack": (kind("1", "Zzzz"), ["Zzzz (#1)", "another pack"]),
    "missing wire": (drop("2", "number"), ['Scale (#2)', '"number" (TEST_NUMBER)', "missing", "Connect"]),
    "unknown input": (change("1", "cuont", 3), ["Source (#1)", '"cuont"', 'did you mean "count"', "value, count"]),
    "wrong type": (change("2", "factor", ["1", 0]), ["Scale (#2)", "FLOAT,TEST_RAMP", "Source (#1)", "TEST_NUMBER"]),
    "dangling": (change("2", "number", ["9", 0]), ["Scale (#2)", '"number"', "#9", "does not exist"]),
    "no such output": (change("2", "number", ["1", 2]), ["output 2 of Source (#1)", "which has 2"]),
    "negative output": (change("2", "number", ["1", -1]), ["output -1 of Source (#1)"]),
    "value where a wire belongs": (change("2", "number", 3.0), ["Scale (#2)", "wire of type TEST_NUMBER"]),
    "too small": (change("1", "count", 0), ["Source (#1)", '"count" is 0, below its minimum 1', "from 1 to 100"]),
    "too large": (change("1", "value", 10.5), ['"value" is 10.5, above its maximum 10.0', "from 0.0 to 10.0"]),
    "in a multi-type widget": (change("2", "factor", 11), ['"factor" is 11.0, above its maximum 9.0']),
    "no number": (change("1", "value", "many"), ['"value" is "many", which is not a number']),
    "no whole number": (change("1", "count", 2.5), ['"count" is 2.5, which is not a whole number']),
    "truth as number": (change("1", "count", True), ['"count" is True, which is not a whole number']),
    "not finite": (change("1", "value", math.nan), ['"value" is nan, which is not a number']),
    "endless": (change("1", "count", math.inf), ['"count" is inf, which is not a whole number']),
    "list as number": (change("1", "value", [1, 2, 3]), ['"value" is [1, 2, 3], which is not a number']),
    "nothing as number": (change("1", "value", None), ['"value" is None, which is not a number']),
    "no option": (change("1", "kind", "sotf"), ['"kind" is "sotf"', 'did you mean "soft"', '"soft", "hard"']),
    "no truth": (change("1", "flag", "perhaps"), ['"flag" is "perhaps"', "true nor false"]),
    "no text": (change("1", "words", {"a": 1}), ['"words"', "where a text belongs"]),
    "circle": (change("2", "other", ["2", 0]), ["circle: Scale (#2) -> Scale (#2)"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_clear_error_and_nothing_written(registry, chain, here, ran, name):
    spoil, words = WRONG[name]
    spoil(chain)
    with pytest.raises(DistillError) as caught:
        run_workflow(chain, classes=registry)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert not ran and not here.output_directory.exists()


def test_a_longer_circle_names_each_node(registry, chain):
    chain["4"] = {"class_type": "Test_Scale", "inputs": {"number": ["2", 0]}, "_meta": {"title": "Again"}}
    chain["2"]["inputs"]["number"] = ["4", 0]
    with pytest.raises(DistillError, match="circle: ") as caught:
        checked(read_graph(chain, registry), registry)
    assert "Scale (#2) -> " in str(caught.value) and "Again (#4) -> " in str(caught.value)


def test_values_take_the_type_of_their_widget(registry, chain):
    chain["1"]["inputs"].update(value="2", count="8", flag="yes", words=5)
    inputs = checked(read_graph(chain, registry), registry).nodes["1"].inputs
    assert {name: inputs[name] for name in ("value", "count", "flag", "words")} == {
        "value": 2.0, "count": 8, "flag": True, "words": "5"}
    assert isinstance(inputs["value"], float) and isinstance(inputs["count"], int)


def test_large_seeds_stay_exact(registry, chain):
    chain["1"]["inputs"]["seed"] = 2**53 - 1
    assert checked(read_graph(chain, registry), registry).nodes["1"].inputs["seed"] == 9007199254740991


def test_required_widgets_have_their_default_and_optional_ones_stay_away(registry, chain):
    chain["1"]["inputs"] = {}
    inputs = checked(read_graph(chain, registry), registry).nodes["1"].inputs
    assert inputs == {"value": 1.0, "count": 5, "kind": "hard", "seed": 0, "words": "", "flag": False}


def test_core_viewers_may_hold_more_than_we_know(registry, chain):
    chain["4"] = {"class_type": "Preview3D", "inputs": {"model_file": "x.glb", "image": "", "viewport": {}}}
    assert checked(read_graph(chain, registry), registry).nodes["4"].inputs == {"model_file": "x.glb"}


def test_quick_nodes_run_before_a_stage_and_results_are_saved_before_the_next(registry):
    def stage(source):
        return {"class_type": "Distill3D_Optimize", "inputs": {"number": [source, 0]}}

    def save(source):
        return {"class_type": "Test_Write", "inputs": {"number": [source, 0]}}

    api = {"two": stage("one"), "one": stage("source"), "source": {"class_type": "Test_Source", "inputs": {}},
           "save two": save("two"), "save one": save("one"), "quick": {"class_type": "Test_Source", "inputs": {}},
           "save quick": save("quick"), "unused": {"class_type": "Test_Source", "inputs": {}}}
    graph = read_graph(api, registry)
    order = needed_order(graph, registry, ["save two", "save one", "save quick"])
    assert order == ["source", "quick", "save quick", "one", "save one", "two", "save two"]


def test_long_chains_need_no_recursion(registry):
    api = {"0": {"class_type": "Test_Source", "inputs": {}}}
    for number in range(1, 1500):
        api[str(number)] = {"class_type": "Test_Scale", "inputs": {"number": [str(number - 1), 0]}}
    graph = checked(read_graph(api, registry), registry)
    assert needed_order(graph, registry, ["1499"]) == [str(number) for number in range(1500)]
