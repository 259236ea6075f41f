"""Rules for every node: its texts are complete, and ids and input names of saved workflows stay valid.

`make sync` appends new nodes and inputs to node_ids.json.
"""
import dataclasses
import importlib
import inspect
import json
from pathlib import Path

import pytest

import distill3d.nodes as room_folder
from distill3d.nodes import node_list
from distill3d.nodes.comfy import Node
from distill3d.nodes.core.schedule import Schedule

FROZEN = Path(__file__).with_name("node_ids.json")
ROOMS = Path(room_folder.__file__).resolve().parent
NODES = node_list()
PREFIX = "Distill3D_"

every_node = pytest.mark.parametrize("node", NODES, ids=lambda node: node.__name__)


def source(node):
    return Path(inspect.getsourcefile(node)).resolve()


def inputs(node):
    return {widget.id: bool(widget.optional) for widget in node.define_schema().inputs}


def is_number(widget):
    return bool({"INT", "FLOAT"} & set(widget.get_io_type().split(",")))


def test_there_are_nodes_and_each_stands_once_in_the_list():
    ids = [node.define_schema().node_id for node in NODES]
    assert ids and len(set(ids)) == len(ids)
    names = [node.define_schema().display_name for node in NODES]
    assert len(set(names)) == len(names)


def test_no_node_is_forgotten_in_the_list():
    forgotten = []
    for path in sorted(ROOMS.rglob("*.py")):
        if "(Node):" not in path.read_text(encoding="utf-8"):
            continue
        name = ".".join(("distill3d", "nodes", *path.relative_to(ROOMS).with_suffix("").parts))
        classes = inspect.getmembers(importlib.import_module(name), inspect.isclass)
        forgotten += [f"{name}.{cls.__name__}" for _, cls in classes
                      if issubclass(cls, Node) and cls.__module__ == name and cls not in NODES]
    assert not forgotten


@every_node
def test_names_agree(node):
    """Distill3D_SDSLoss, SDSLossNode and "SDS Loss" are one name."""
    schema = node.define_schema()
    assert schema.node_id.startswith(PREFIX)
    assert node.__name__ == schema.node_id.removeprefix(PREFIX) + "Node"
    assert schema.display_name and schema.display_name == schema.display_name.strip()


@every_node
def test_the_menu_is_the_folder(node):
    folder = source(node).parent
    room = "" if folder == ROOMS else f"/{folder.name}"
    assert node.define_schema().category == f"Distill3D{room}"


@every_node
def test_what_is_required_stands_before_what_is_optional(node):
    """ComfyUI lists them so, and values of a saved workflow are counted along its list."""
    order = list(inputs(node).values())
    assert order == sorted(order)


@every_node
def test_the_description_is_a_sentence(node):
    description = node.define_schema().description
    assert description.endswith(".") and description[0].isupper() and description == description.strip()


@every_node
def test_everything_has_a_tooltip(node):
    schema = node.define_schema()
    bare = [socket.id for socket in (*schema.inputs, *schema.outputs) if not (socket.tooltip or "").strip()]
    assert not bare


@every_node
def test_a_search_finds_it_by_other_words(node):
    schema = node.define_schema()
    aliases = schema.search_aliases
    assert aliases and len(set(aliases)) == len(aliases) and all(word == word.strip().lower() for word in aliases)
    assert schema.display_name.lower() not in aliases


@every_node
def test_numbers_have_limits_and_start_within_them(node):
    for widget in filter(is_number, node.define_schema().inputs):
        if widget.force_input:
            continue
        assert widget.min is not None and widget.max is not None, f"{widget.id} has no limits"
        assert widget.default is not None and widget.min <= widget.default <= widget.max, f"{widget.id} starts outside"


@every_node
def test_menus_offer_what_they_start_with(node):
    for widget in node.define_schema().inputs:
        if widget.get_io_type() == "COMBO" and widget.default is not None:
            assert widget.default in widget.options["options"], widget.id


@every_node
def test_execute_takes_every_input_and_needs_only_the_required(node):
    parameters = inspect.signature(node.execute).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    own = inputs(node)
    assert set(parameters) == set(own)
    needed = {name for name, parameter in parameters.items() if parameter.default is parameter.empty}
    assert not {name for name in needed if own[name]}


# Inputs whose recipe has them in another form, or has something else under their name (the activation of the density
# and that of the network; as many particles as a scene has).
PARSED = {("Distill3D_SolidBackground", "color"), ("Distill3D_FixedOrbit", "elevations"),
          ("Distill3D_OptimizerSettings", "rates"), ("Distill3D_MLPVolume", "activation"),
          ("Distill3D_Particles", "count")}
# Inputs that start with a number for the priors that ship. The recipe's default is the published one and must never
# change: the fingerprint of a saved run leaves out what is at its default.
FOR_SHIPPED_PRIORS = {("Distill3D_RandomOrbitViews", name) for name in (
    "min_distance", "max_distance", "max_fovy", "min_elevation", "max_elevation", "position_jitter", "target_jitter",
    "up_jitter")} | {("Distill3D_MultiViewOrbit", name) for name in ("min_fovy", "max_fovy", "min_size")}


@every_node
def test_defaults_of_schema_execute_and_recipe_are_equal(node):
    """A recipe is a dataclass of the node's file with a field of the input's name."""
    schema = node.define_schema()
    defaults = {widget.id: widget.default for widget in schema.inputs if getattr(widget, "default", None) is not None}
    parameters = inspect.signature(node.execute).parameters
    module = importlib.import_module(node.__module__)
    recipes = [kind for kind in vars(module).values()
               if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.__name__]
    for name, default in defaults.items():
        own = parameters[name].default if name in parameters else inspect.Parameter.empty
        assert own in (inspect.Parameter.empty, default), f"execute's {name}"
        for field in (field for recipe in recipes for field in dataclasses.fields(recipe) if field.name == name):
            if field.default is dataclasses.MISSING or (schema.node_id, name) in PARSED | FOR_SHIPPED_PRIORS:
                continue
            wanted = Schedule.of(default) if isinstance(field.default, Schedule) else default
            assert field.default == wanted, f"the recipe's {name}"


def broken_promises(frozen, current):
    """What saved workflows would trip over.

    frozen   {node id: [input ids in order]}; current  {node id: {input id: is it optional}}, in order
    """
    found = []
    for node_id, names in frozen.items():
        if node_id not in current:
            found.append(f"{node_id} is gone")
            continue
        own = list(current[node_id])
        if own[:len(names)] != names:
            found.append(f"{node_id}: inputs were {names} and are {own}")
        found += [f"{node_id}: the new input {name} is not optional" for name in own
                  if name not in names and not current[node_id][name]]
    return found


def test_no_promise_to_saved_workflows_is_broken():
    frozen = json.loads(FROZEN.read_text(encoding="utf-8"))
    assert not broken_promises(frozen, {node.define_schema().node_id: inputs(node) for node in NODES})


@pytest.mark.parametrize("current, words", [
    ({}, "gone"),
    ({"A": {"x": False}}, "inputs were"),
    ({"A": {"y": False, "x": False}}, "inputs were"),
    ({"A": {"new": True, "x": False, "y": False}}, "inputs were"),
    ({"A": {"x": False, "y": False, "new": False}}, "not optional"),
])
def test_broken_promises_are_found(current, words):
    found = broken_promises({"A": ["x", "y"]}, current)
    assert len(found) == 1 and words in found[0]


def test_appending_optional_inputs_and_nodes_breaks_nothing():
    assert not broken_promises({"A": ["x"]}, {"A": {"x": False, "new": True}, "B": {"y": False}})


@every_node
def test_folded_widgets_are_widgets_without_wires(node):
    inputs_by_id = {entry.id: entry for entry in node.define_schema().inputs}
    assert set(node.advanced) <= set(inputs_by_id)
    for name in node.advanced:
        entry = inputs_by_id[name]
        assert entry.advanced and "," not in entry.get_io_type() and not entry.get_io_type().startswith("DISTILL3D_")
    assert not [name for name, entry in inputs_by_id.items() if entry.advanced and name not in node.advanced]


def test_about_half_of_the_widgets_are_folded():
    widgets = [entry for node in NODES for entry in node.define_schema().inputs
               if entry.get_io_type() == "COMBO" or getattr(entry, "default", None) is not None]
    assert 0.35 < sum(bool(entry.advanced) for entry in widgets) / len(widgets) < 0.6
