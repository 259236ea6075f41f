from types import SimpleNamespace

import pytest
import torch

from distill3d.nodes.comfy import Host, set_host
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.core.prior import LoadedPriors
from distill3d.nodes.models.clip_tower import load_clip_folder
from distill3d.nodes.priors.clip_tower import CLIPTowerNode, FolderTower, WiredTower
from tiny_clip import write_tiny_clip

CPU = torch.device("cpu")


@pytest.fixture
def host(tmp_path):
    host = Host(tmp_path / "output", "cpu")
    set_host(host)
    yield host
    set_host(None)


def test_a_trained_folder_is_offered_and_loaded(host):
    folder = write_tiny_clip(host.output_directory / "mine" / "builtin")
    option = next(entry for entry in CLIPTowerNode.define_schema().inputs if entry.id == "model")
    assert "mine/builtin" in option.options["options"]
    recipe = CLIPTowerNode.execute("mine/builtin").args[0]
    assert recipe == FolderTower(str(folder), CLIPTowerNode.fingerprint_inputs("mine/builtin"))
    assert LoadedPriors(CPU)(recipe).embed_texts(["a red cube"]).shape == (1, 32)
    assert "no" in CLIPTowerNode.validate_inputs("elsewhere") and CLIPTowerNode.validate_inputs("mine/builtin") is True
    with pytest.raises(DistillError, match="CLIP Tower"):
        CLIPTowerNode.execute("../mine")


class CoreVision(torch.nn.Module):
    """Core's image network: (last state, state of a layer, projection, None)."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixel_values, intermediate_output=None):
        out = self.network.vision_model(pixel_values, output_hidden_states=True)
        layer = None if intermediate_output is None else out.hidden_states[intermediate_output]
        return out.last_hidden_state, layer, self.network.visual_projection(out.pooler_output), None


class CoreText:
    def __init__(self, network, tokenizer):
        self.network, self.tokenizer = network, tokenizer

    def tokenize(self, text):
        return self.tokenizer([text], return_tensors="pt").input_ids

    def encode_from_tokens(self, tokens, return_pooled=False):
        return None, self.network.text_projection(self.network.text_model(tokens)[1])


def test_the_hosts_wires_give_the_same_embeddings_with_gradients(host, tmp_path):
    folder = write_tiny_clip(tmp_path / "clip")
    with torch.inference_mode():  # as the host loads them
        network, tokenizer = load_clip_folder(folder, "Test")
        vision = SimpleNamespace(model=CoreVision(network), image_size=16, config={"num_hidden_layers": 2})
        recipe = CLIPTowerNode.execute(clip_vision=vision, clip=CoreText(network, tokenizer)).args[0]
    assert isinstance(recipe, WiredTower)
    own, wired = LoadedPriors(CPU)(FolderTower(str(folder))), LoadedPriors(CPU)(recipe)
    rgb = torch.rand(2, 24, 24, 3, requires_grad=True)
    assert wired.side == 16 and wired.layers == 2 and wired.has_text
    assert torch.allclose(wired.embed_pictures(rgb), own.embed_pictures(rgb), atol=1e-5)
    texts = ["a red cube", "a blue cone"]
    assert torch.allclose(wired.embed_texts(texts), own.embed_texts(texts), atol=1e-5)
    assert torch.allclose(wired.features(rgb, 1), own.features(rgb, 1), atol=1e-5)
    wired.embed_pictures(rgb)[0, 0].backward()
    assert float(rgb.grad[0].abs().amax()) > 0
    blind = LoadedPriors(CPU)(WiredTower(vision, None))
    assert not blind.has_text
    with pytest.raises(DistillError, match="Wire one"):
        blind.embed_texts(texts)
