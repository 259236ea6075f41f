"""Tiny nodes that stand for the pack's, so that the runner is tested without it."""

import pytest

from distill3d.nodes import comfy
from distill3d.nodes.comfy import Host, Node, host, io
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.state import write_atomically
from distill3d.runner import schema
from distill3d.runner.core_nodes import core_nodes

NUMBER, RAMP, TEXT = io.Custom("TEST_NUMBER"), io.Custom("TEST_RAMP"), io.Custom("TEST_TEXT")
RAN = []  # (node class, unique id) of every execution


def node(node_id, name, inputs, outputs, run, **options):
    def define_schema(cls):
        return io.Schema(node_id=node_id, display_name=name, category="Test/things", description=f"{name} does it. "
                         "More.",
                         inputs=inputs, outputs=outputs, **options)

    def execute(cls, **values):
        RAN.append((node_id, cls.hidden.unique_id))
        return run(cls, **values)

    return type(node_id, (Node,), {"define_schema": classmethod(define_schema), "execute": classmethod(execute)})


def write(cls, number, filename_prefix):
    path = write_atomically(host().save_path(filename_prefix, "txt"), repr(number).encode())
    return io.NodeOutput(ui={"text": [host().saved(path)]})


def fail(cls, number, how):
    if how == "mendable":
        raise DistillError("Failing: the number is wrong. Give another.")
    if how == "unexpected":
        raise RuntimeError("sizes differ\nand a second line")
    if how == "too few":
        return io.NodeOutput()
    return io.NodeOutput(number)


def optimize(cls, number, steps, seed, resume):
    progress = host().progress(cls.hidden.unique_id, "Optimize", steps)
    for step in range(steps):
        host().check()
        progress.update(step + 1, facts={"opacity": 0.25})
        if host().should_finish(cls.hidden.unique_id):
            break
    progress.close()
    return io.NodeOutput((number, step + 1, seed, resume))


CLASSES = [
    node("Test_Source", "Source", [
        io.Float.Input("value", default=1.0, min=0.0, max=10.0, tooltip="The number. Any."),
        io.Int.Input("count", default=5, min=1, max=100),
        io.Combo.Input("kind", options=["soft", "hard"], default="hard"),
        io.Int.Input("seed", default=0, min=0, max=2**53 - 1, control_after_generate=True),
        io.String.Input("words", default="", multiline=True),
        io.Boolean.Input("flag", default=False),
        io.Float.Input("late", default=0.5, min=0.0, max=1.0, optional=True)],
        [NUMBER.Output("number"), TEXT.Output("text")],
        lambda cls, value, count, kind, seed, words, flag, late=-1.0: io.NodeOutput(
            (value, count, kind, seed, words, flag, late), words)),
    node("Test_Ramp", "Ramp", [], [RAMP.Output("ramp")], lambda cls: io.NodeOutput("ramp")),
    node("Test_Scale", "Scale", [
        NUMBER.Input("number"), NUMBER.Input("other", optional=True),
        io.MultiType.Input(io.Float.Input("factor", default=2.0, min=0.0, max=9.0), types=[RAMP])],
        [NUMBER.Output("number")],
        lambda cls, number, factor, other=None: io.NodeOutput(("scaled", number, factor, other))),
    node("Test_Write", "Write Number",
         [NUMBER.Input("number"), io.String.Input("filename_prefix", default="numbers/n")], [], write,
         is_output_node=True),
    node("Test_Fail", "Failing", [NUMBER.Input("number"), io.Combo.Input("how", options=[
        "mendable", "unexpected", "too few", "fine"])], [NUMBER.Output("number")], fail),
    node("Distill3D_ViewPrompt", "View Prompt", [io.String.Input("text", default="", multiline=True),
                                                 io.String.Input("negative", default="")],
         [TEXT.Output("prompt")], lambda cls, text, negative: io.NodeOutput((text, negative))),
    node("Distill3D_Optimize", "Optimize", [
        NUMBER.Input("number"), io.Int.Input("steps", default=3, min=1, max=1000),
        io.Int.Input("seed", default=0, min=0, max=2**53 - 1), io.Boolean.Input("resume", default=False)],
        [NUMBER.Output("number")], optimize, not_idempotent=True),
]


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running ComfyUI, which the tests share."""
    from comfyui_server import Server

    server = Server(tmp_path_factory.mktemp("comfyui"))
    try:
        server.wait_until(300, "The start", server.is_up)
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def info(server):
    return server.request("/object_info")[1]


@pytest.fixture
def registry():
    return schema.registry_of([*core_nodes(), *CLASSES])


@pytest.fixture
def ran():
    RAN.clear()
    return RAN


@pytest.fixture
def here(tmp_path):
    """The present host, with its output folder in tmp_path / "output" (not made)."""
    new = Host(tmp_path / "output", "cpu")
    comfy.set_host(new)
    yield new
    comfy.set_host(None)


@pytest.fixture
def chain():
    """Source -> Scale -> Write, in API format."""
    return {"1": {"class_type": "Test_Source", "inputs": {"value": 3.0, "count": 7, "kind": "soft", "seed": 4,
                                                          "words": "two\nlines", "flag": True}},
            "2": {"class_type": "Test_Scale", "inputs": {"number": ["1", 0], "factor": 4.0}},
            "3": {"class_type": "Test_Write", "inputs": {"number": ["2", 0], "filename_prefix": "a/b"}}}


def _ui_node(number, kind, inputs=(), outputs=(), values=(), **more):
    """inputs: (name, type, link[, "widget"]); outputs: (name, type, links)."""
    return {"id": number, "type": kind, "mode": 0, "widgets_values": list(values), "pos": [0, 0], "size": [200, 100],
            "inputs": [{"name": one[0], "type": one[1], "link": one[2],
                        **({"widget": {"name": one[0]}} if len(one) > 3 else {})} for one in inputs],
            "outputs": [{"name": name, "type": kind, "links": links} for name, kind, links in outputs], **more}


@pytest.fixture
def ui_node():
    return _ui_node


@pytest.fixture
def ui_chain():
    """The same as `chain` in UI format."""
    return {"last_node_id": 3, "last_link_id": 2, "version": 0.4, "groups": [], "config": {}, "extra": {},
            "links": [[1, 1, 0, 2, 0, "TEST_NUMBER"], [2, 2, 0, 3, 0, "TEST_NUMBER"]],
            "nodes": [
                _ui_node(1, "Test_Source", [], [("number", "TEST_NUMBER", [1]), ("text", "TEST_TEXT", [])],
                         [3.0, 7, "soft", 4, "randomize", "two\nlines", True]),
                _ui_node(2, "Test_Scale", [("number", "TEST_NUMBER", 1), ("other", "TEST_NUMBER", None)],
                         [("number", "TEST_NUMBER", [2])], [4.0]),
                _ui_node(3, "Test_Write", [("number", "TEST_NUMBER", 2)], [], ["a/b"])]}


@pytest.fixture
def object_info():
    return describe


def describe(classes):
    """Schemas as ComfyUI's HTTP API gives them, as far as a converter from UI to API needs them."""
    def options(entry):
        names = ("default", "min", "max", "multiline", "tooltip")
        facts = {name: getattr(entry, name) for name in names if getattr(entry, name) is not None}
        if entry.control_after_generate is not None:
            facts["control_after_generate"] = entry.control_after_generate
        if getattr(entry, "widget_type", None):
            facts["widgetType"] = entry.widget_type
        return facts

    def spec(entry):
        kind = schema.choices(entry) if entry.get_io_type() == "COMBO" else entry.get_io_type()
        return ["COMBO" if kind is None else kind, options(entry)]

    info = {}
    for cls in classes:
        entries = schema.inputs_of(cls)
        parts = {part: {name: spec(entry)
                        for name, entry in entries.items() if bool(entry.optional) == (part == "optional")}
                 for part in ("required", "optional")}
        info[schema.schema_of(cls).node_id] = {
            "input": parts, "input_order": {part: list(names) for part, names in parts.items()},
            "output": [slot.get_io_type() for slot in schema.outputs_of(cls)],
            "output_node": schema.is_output(cls), "name": schema.schema_of(cls).node_id,
            "display_name": schema.display_name(cls)}
    return info
