"""Descriptions of workflows: there and back, and what a change of a node or a file does."""
import json

import pytest

from distill3d.nodes.comfy import io
from distill3d.nodes.core.errors import DistillError
from distill3d.runner import describe, schema, sync
from distill3d.runner.method import api, file, meaning, named
from distill3d.workflows.description import Method, Wire, node

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


@pytest.mark.parametrize("change, words", [
    ({"numbers": {"sorce.value": 1.0}}, 'no node "sorce".*source'),
    ({"without": ["nothing"]}, 'no node "nothing"'),
    ({"numbers": {"scale.number": Wire("source", "numbers")}}, 'no output "numbers", but number, text'),
])
def test_what_does_not_exist_is_named(registry, change, words):
    with pytest.raises(DistillError, match=words):
        api(CHAIN.differing(notes=(), **change), registry)


def test_every_shipped_description_says_what_its_file_says():
    registry = schema.default_registry()
    for name, method in sync.methods().items():
        assert meaning(named(describe.read(sync.FOLDER / f"{name}.json",
                                     registry), registry)) == meaning(named(method, registry)), name


def test_an_appended_widget_and_a_moved_node_change_no_file(monkeypatch, tmp_path):
    """The file of dreamfusion, with a node moved by hand and one more optional widget on SDS Loss, is kept as it is."""
    monkeypatch.setattr(sync, "FOLDER", tmp_path)
    path = tmp_path / "dreamfusion.json"
    method = sync.methods()["dreamfusion"]
    data = json.loads(sync.laid_out(method, schema.default_registry()))
    data["nodes"][0]["pos"][0] += 7
    path.write_text(json.dumps(data))
    from distill3d.nodes.losses.sds import SDSLossNode

    own = SDSLossNode.define_schema.__func__

    class Grown(SDSLossNode):
        @classmethod
        def define_schema(cls):
            made = own(cls)
            made.inputs.append(io.Float.Input("fresh", default=0.5, min=0.0, max=1.0, optional=True, tooltip="New."))
            return made

    registry = {**schema.default_registry(), "Distill3D_SDSLoss": Grown}
    assert sync._kept(path, method, registry) == path.read_text()
    assert api(describe.read(path, registry), registry)  # the old file loads
    other = method.differing(notes=method.notes, numbers={"sds_loss.guidance": 9.0})
    assert sync._kept(path, other, registry) == ""
