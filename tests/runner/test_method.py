"""Descriptions of workflows: there and back, and what a change of a node or a file does."""
import json

import pytest

from distill3d.nodes.comfy import io
from distill3d.nodes.core.errors import DistillError
from distill3d.runner import describe, schema, sync
from distill3d.runner.method import api, file, meaning, named
from distill3d.runner.workflow_file import read_graph
from distill3d.workflows.description import Method, Wire, node
from distill3d.workflows.order import title_of

CHAIN = Method({"source": node(":Test_Source", value=3.0, words="two\nlines", within="A"),
                "scale": node(":Test_Scale", number=Wire("source", "number"), factor=4.0, titled="Twice", within="B"),
                "write": node(":Test_Write", number=Wire("scale"), filename_prefix="a/b", within="B")},
               groups=("A", "B"), notes=("# A chain\nOf three.",))


def test_a_description_becomes_a_file_and_comes_back(registry, tmp_path):
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(file(CHAIN, registry)))
    found = describe.read(path, registry)
    assert meaning(named(found, registry)) == meaning(named(CHAIN, registry))
    assert found.nodes["test_scale"].title == "Twice" and found.nodes["test_source"].inputs == {"value": 3.0,
                                                                                                "words": "two\nlines"}


def test_its_python_is_the_same_description(registry, tmp_path):
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(file(CHAIN, registry)))
    source = describe.as_python(describe.read(path, registry))
    assert max(map(len, source.split("\n"))) <= 120
    made = {}
    exec(source.replace("from ..description", "from distill3d.workflows.description"), made)
    assert meaning(named(made["METHOD"], registry)) == meaning(named(CHAIN, registry))


def test_a_difference(registry):
    other = CHAIN.differing(notes=("Other",),
                            numbers={"source.value": 5.0, "source.words": None, "write.number": Wire("source")},
                            without=["scale"], groups=("A", "B"))
    graph = api(other, registry)
    assert (graph["1"]["inputs"] == {"value": 5.0} and graph["2"]["inputs"]["number"] == ["1", 0]
            and other.notes == ("Other",))
    assert CHAIN.nodes["source"].inputs["value"] == 3.0  # the base stays as it was


def test_a_difference_is_found_and_written(registry):
    other = CHAIN.differing(notes=("# Other\nOf two \"\"\"and\\n more.",), groups=("B", "C"), without=["scale"],
                            numbers={"source.value": 5.0, "source.words": None, "write.number": Wire("source")},
                            nodes={"source": node(":Test_Source", value=5.0, within="C"),
                                   "again": node(":Test_Scale", number=Wire("source"), factor=2.0, within="C")})
    source = describe.difference(named(other, registry), named(CHAIN, registry), "chain")
    made = {}
    exec(source.replace("from ..description", "from distill3d.workflows.description").replace(
        "from .chain import METHOD as BASE", ""), made | {"BASE": CHAIN}, made)
    assert meaning(named(made["METHOD"], registry)) == meaning(named(other, registry))
    assert "scale" not in made["METHOD"].nodes and '"write.number": Wire("source")' in source


@pytest.mark.parametrize("change, words", [
    ({"numbers": {"sorce.value": 1.0}}, 'no node "sorce".*source'),
    ({"without": ["nothing"]}, 'no node "nothing"'),
    ({"numbers": {"scale.number": Wire("source", "numbers")}}, 'no output "numbers", but number, text'),
])
def test_what_does_not_exist_is_named(registry, change, words):
    with pytest.raises(DistillError, match=words):
        api(CHAIN.differing(notes=(), **change), registry)


def written():
    """Descriptions that `make sync` has made a file of; that none is missing is tested in tests/rules."""
    return [(name, method) for name, method in sync.methods().items()
            if (sync.FOLDER / f"{title_of(name)}.json").is_file()]


def test_every_shipped_description_says_what_its_file_says():
    registry = schema.default_registry()
    for name, method in written():
        read = describe.read(sync.FOLDER / f"{title_of(name)}.json", registry)
        assert meaning(named(read, registry)) == meaning(named(method, registry)), name


def grown(node_class):
    """The node with one more optional widget at its end."""
    own = node_class.define_schema.__func__

    class Grown(node_class):
        @classmethod
        def define_schema(cls):
            made = own(cls)
            made.inputs.append(io.Float.Input("fresh", default=0.5, min=0.0, max=1.0, optional=True, tooltip="New."))
            return made

    return Grown


def test_a_widget_appended_to_every_node_changes_no_file():
    """Shipped files need no change, and load with the same values; the new widget has its default."""
    registry = schema.default_registry()
    later = {name: grown(node_class) if name.startswith("Distill3D_") else node_class
             for name, node_class in registry.items()}
    for name, method in written():
        path = sync.FOLDER / f"{title_of(name)}.json"
        assert sync.kept(path, method, later) == path.read_text(encoding="utf-8"), name
        before, after = (read_graph(path, each).to_api() for each in (registry, later))
        for one in after.values():
            if one["class_type"].startswith("Distill3D_"):
                assert one["inputs"].pop("fresh") == 0.5
        assert before == after, name


def test_a_node_that_was_moved_by_hand_stays_there(monkeypatch, tmp_path):
    monkeypatch.setattr(sync, "FOLDER", tmp_path)
    path = tmp_path / f'{title_of("dreamfusion")}.json'
    method, registry = sync.methods()["dreamfusion"], schema.default_registry()
    data = json.loads(sync.laid_out(method, registry))
    data["nodes"][0]["pos"][0] += 7
    path.write_text(json.dumps(data))
    assert sync.kept(path, method, registry) == path.read_text()
    other = method.differing(notes=method.notes, numbers={"sds_loss.guidance": 9.0})
    assert sync.kept(path, other, registry) == ""
