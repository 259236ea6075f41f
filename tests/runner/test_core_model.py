"""Load Checkpoint without ComfyUI: one file on three wires, and errors that say where it belongs."""
import pytest

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.model_file import ModelFile
from distill3d.runner import schema
from distill3d.runner.check import checked
from distill3d.runner.core_model import CheckpointLoaderSimple
from distill3d.runner.layout import to_ui
from distill3d.runner.workflow_file import read_graph


@pytest.fixture
def checkpoints(here, tmp_path, monkeypatch):
    monkeypatch.setattr(type(here), "model_folders", lambda self, kind: [tmp_path / "models" / kind])
    (tmp_path / "models/checkpoints/sub").mkdir(parents=True)
    return tmp_path / "models/checkpoints"


def test_all_three_wires_carry_the_file(checkpoints):
    (checkpoints / "sub/a.safetensors").write_bytes(b"")
    given = CheckpointLoaderSimple.execute("sub/a.safetensors").args
    assert (given == (ModelFile(str((checkpoints / "sub/a.safetensors").resolve())),) * 3
            and given[0].name == "a.safetensors")
    assert [slot.get_io_type() for slot in schema.outputs_of(CheckpointLoaderSimple)] == ["MODEL", "CLIP", "VAE"]


def test_the_widget_offers_what_is_there(checkpoints):
    (checkpoints / "sub/a.safetensors").write_bytes(b"")
    (checkpoints / "notes.txt").write_bytes(b"")
    assert schema.choices(CheckpointLoaderSimple.define_schema().inputs[0]) == ["sub/a.safetensors"]


@pytest.mark.parametrize("name, message", [
    ("v1-5-pruned-emaonly-fp16.safetensors", "2.1 GB, licence: CreativeML OpenRAIL-M. Put the file "
     'v1-5-pruned-emaonly-fp16.safetensors into the models folder "checkpoints".'),
    ("mine.safetensors", "Models that this node loads: v1-5-pruned-emaonly.safetensors, "),
    ("../secret.safetensors", 'no "../secret.safetensors" below')])
def test_what_is_not_there(checkpoints, name, message):
    (checkpoints.parent / "secret.safetensors").write_bytes(b"")
    with pytest.raises(DistillError) as error:
        CheckpointLoaderSimple.execute(name)
    assert str(error.value).startswith("Load Checkpoint: there is no") and message in str(error.value)
    assert "zero123" not in str(error.value).lower()


def test_an_empty_name(checkpoints):
    with pytest.raises(DistillError, match="Load Checkpoint: the model name is empty"):
        CheckpointLoaderSimple.execute("")


def test_a_file_that_is_not_there_is_no_mistake_of_the_graph(checkpoints):
    """It may be there when the workflow runs, or on the machine that it runs on."""
    registry = schema.registry_of([CheckpointLoaderSimple])
    api = {"1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "b.safetensors"}}}
    assert checked(read_graph(api, registry), registry).nodes["1"].inputs == {"ckpt_name": "b.safetensors"}
    node, = to_ui(api, registry)["nodes"]
    assert node["widgets_values"] == ["b.safetensors"] and node["properties"]["cnr_id"] == "comfy-core"
    api["1"]["inputs"]["ckpt_name"] = {"b": 1}
    with pytest.raises(DistillError, match="not an option"):
        checked(read_graph(api, registry), registry)
