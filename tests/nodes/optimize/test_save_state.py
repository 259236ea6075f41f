import os

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.state import save_state
from distill3d.nodes.optimize.save_state import LoadStateNode, SaveStateNode, load_scene
from image_scene import picture_recipe


@pytest.fixture
def host(tmp_path):
    new = Host(tmp_path / "output", device="cpu")
    set_host(new)
    yield new
    set_host(None)


@pytest.fixture
def trained():
    recipe = picture_recipe()
    scene = recipe.build()
    with torch.no_grad():
        scene.pixels.fill_(0.25)
    return recipe.trained(scene, {"opacity": 0.5, "steps": 7})


def saved(scene):
    return SaveStateNode.execute(scene, "states/mine").args[0]


def test_what_was_saved_is_loaded_into_an_untrained_scene(host, trained):
    name = saved(trained)
    assert name == "states/mine_00001_.safetensors" and saved(trained) == "states/mine_00002_.safetensors"
    untrained = picture_recipe()
    with torch.inference_mode():
        back, = LoadStateNode.execute(untrained, name).args
    assert torch.equal(back.state["pixels"], trained.state["pixels"]) and untrained.state is None
    assert bool((back.build().pixels == 0.25).all())


def test_the_state_of_a_run_holds_its_scene(host, trained):
    path = save_state(host.state_directory / "run.safetensors",
                      {"scene." + name: tensor for name, tensor in trained.state.items()}
                      | {"optimizer.0.step": torch.ones(1)}, {"finished": False, "step": 3})
    back = load_scene(picture_recipe(), str(path.relative_to(host.output_directory)))
    assert set(back.state) == set(trained.state) and torch.equal(back.state["pixels"], trained.state["pixels"])


@pytest.mark.parametrize("file, message", [
    ("../state.safetensors", "is outside the output folder"), ("/etc/hostname", "is outside"), ("", "is empty"),
    ("absent.safetensors", "does not exist"), ("other.safetensors", '"pixels" is missing in the saved state'),
    ("small.safetensors", "has shape \\[2, 2, 3\\] in the saved state"), ("broken.safetensors", "cannot be read")])
def test_what_cannot_be_loaded(host, trained, file, message):
    save_state(host.output_directory / "other.safetensors", {"density": torch.zeros(1)}, {"kind": "scene"})
    save_state(host.output_directory / "small.safetensors", {"pixels": torch.zeros(2, 2, 3)} |
               {name: tensor for name, tensor in trained.state.items() if name != "pixels"}, {"kind": "scene"})
    (host.output_directory / "broken.safetensors").write_bytes(b"\x10\x00")
    (host.output_directory.parent / "state.safetensors").write_bytes(b"")
    with pytest.raises(DistillError, match=message):
        LoadStateNode.execute(picture_recipe(), file)


def test_an_untrained_scene_has_no_state(host):
    with pytest.raises(DistillError, match="Save State: this scene is not trained"):
        saved(picture_recipe())


def test_a_replaced_state_is_loaded_again(host, trained):
    """ComfyUI asks for this before it takes a result from its cache. A name that comes by wire is not known then."""
    name = saved(trained)
    before = LoadStateNode.fingerprint_inputs(file=name)
    assert before == LoadStateNode.fingerprint_inputs(scene=None, file=name)
    assert LoadStateNode.fingerprint_inputs(None, None) is None
    os.utime(host.output_directory / name, ns=(1, before + 10**9))
    assert LoadStateNode.fingerprint_inputs(file=name) != before
