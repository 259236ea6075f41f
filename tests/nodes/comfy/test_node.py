"""What every node does besides its own work."""
import math
import operator

import pytest

from distill3d.nodes.comfy import Host, Node, host, io, scheduled, set_host
from distill3d.nodes.comfy.node import WARNINGS, Least
from distill3d.nodes.core.errors import DistillError, MissingPackage
from distill3d.nodes.core.schedule import Schedule


@pytest.fixture(autouse=True)
def own_host(tmp_path):
    set_host(Host(tmp_path, "cpu"))
    yield
    set_host(None)


class Warning(Node):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="Test_Warning", inputs=[
            io.Float.Input("size", default=1.0, min=0.5, max=2.0), scheduled("weight", 1.0, "", min=0.0, max=9.0),
            io.Int.Input("count", default=1, min=1, max=3)])

    @classmethod
    def execute(cls, texts, ui=None):
        for text in texts:
            host().warn(text)
        return io.NodeOutput(len(texts), ui=ui)


def test_warnings_stand_in_what_a_node_shows_each_once():
    output = Warning.execute(["a", "b", "a"], ui={"text": ["c"]})
    assert output.ui == {"text": ["c"], WARNINGS: ["a", "b"]} and output.args == (3,)
    assert Warning.execute(["a"]).ui == {WARNINGS: ["a"]}  # those of another run are past


def test_without_any_nothing_is_added():
    assert Warning.execute([]).ui is None
    assert Warning.execute([], ui={"text": ["c"]}).ui == {"text": ["c"]}


def test_the_host_can_join_what_a_node_shows_of_each_item_of_a_list():
    shown = [Warning.execute(texts, ui={"text": ["c"]}).ui for texts in (["a"], [], ["b"])]
    assert {name: [item for one in shown for item in one[name]] for name in shown[0]} == {
        "text": ["c"] * 3, WARNINGS: ["a", "b"]}


def test_a_copied_class_that_nobody_may_change_still_runs():
    """The host makes one for each run."""
    class Locked(type(Warning)):
        def __setattr__(cls, name, value):
            raise AttributeError(name)

    copy = Locked("Copy", (Warning,), {name: value for name, value in Warning.__dict__.items()
                                       if name not in ("__dict__", "__weakref__")})
    assert copy.execute(["a"]).ui == {WARNINGS: ["a"]}


@pytest.mark.parametrize("value", [math.nan, None, "NaN", -math.inf, 0.4, "x"])
def test_what_is_no_number_is_below_every_minimum(value):
    assert operator.lt(value, Least(0.5))


@pytest.mark.parametrize("value", [0.5, 1, "0.75", math.inf])
def test_numbers_are_compared_as_ever(value):
    assert not operator.lt(value, Least(0.5))


def test_numbers_of_a_schema_have_such_a_minimum():
    size, weight, count = Warning.define_schema().inputs
    assert isinstance(size.min, Least) and size.min == 0.5 and isinstance(weight.min, Least) and type(count.min) is int


def test_the_type_of_an_error_names_no_path():
    assert {error.__module__ for error in (DistillError, MissingPackage)} == {"distill3d"}


class Counting(Host):
    """A run of two nodes that save, as the host tells of it."""

    name, prefixes = "first", ["3d/thing", "turn"]

    def run(self):
        return self.name, self.prefixes


def test_files_of_one_run_share_the_first_number_that_is_free_for_all(tmp_path):
    there = Counting(tmp_path, "cpu")
    (tmp_path / "turn_00004_.webp").write_bytes(b"")
    first = there.save_path("3d/thing", "glb")
    assert first.parent.is_dir()
    first.write_bytes(b"")
    assert [path.name for path in (first, there.save_path("turn", "mp4"))] == ["thing_00005_.glb", "turn_00005_.mp4"]
    assert there.save_path("3d/thing", "glb").name == "thing_00006_.glb"  # never over another
    there.end()  # nothing was written to the others
    there.name = "second"
    assert there.save_path("turn", "mp4").name == "turn_00006_.mp4"


def test_a_file_carries_the_prompt_and_the_workflow(tmp_path):
    from types import SimpleNamespace

    hidden = SimpleNamespace(prompt={"1": {}}, extra_pnginfo={"workflow": {"id": 3}})
    assert Host(tmp_path).notes(hidden) == {"prompt": '{"1": {}}', "workflow": '{"id": 3}'}
    assert Host(tmp_path).notes(SimpleNamespace(prompt=None, extra_pnginfo=None)) == {}


def _limited():
    """Every number of the pack that takes a schedule and has limits: node, input, and a value beyond each limit."""
    from distill3d.nodes import node_list

    for node in node_list():
        for entry in node.define_schema().inputs:
            widget = getattr(entry, "input_override", None) or entry
            if "DISTILL3D_SCHEDULE" in entry.get_io_type().split(",") and "FLOAT" in entry.get_io_type().split(","):
                yield pytest.param(node, entry.id, widget.min, widget.max, id=f"{node.__name__}.{entry.id}")


@pytest.mark.parametrize("node, name, low, high", _limited())
def test_the_limits_of_a_number_hold_for_its_schedule(node, name, low, high):
    for keyframes in ((0, low), (1, 2 * abs(high) + 1)), ((0, low - 1), (1, high)), ((0, low), (1, 1e308)):
        with pytest.raises(DistillError, match=f'the schedule of "{name}" has the value .* The limits'):
            node.execute(**{name: Schedule(keyframes)})
    # Within them the node comes to its other inputs, which are missing here, or to the end.
    try:
        node.execute(**{name: Schedule(((0, low), (1, high)), "fraction")})
    except TypeError as error:
        assert "missing" in str(error)
    except DistillError as error:
        assert "The limits" not in str(error)
