import pytest
import torch

from distill3d.kernels.image.clip_pixels import normalized
from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.clip_tower import load_clip_folder, load_tower, save_clip_folder
from distill3d.nodes.models.weights_digest import weights_digest
from distill3d.nodes.train.clip_vocabulary import write_tokenizer
from tiny_clip import CPU, tiny_tower, write_tiny_clip

pytest.importorskip("transformers")


def test_embeddings_are_those_of_transformers(tmp_path):
    from transformers import CLIPModel, CLIPTokenizer

    tower, rgb = tiny_tower(tmp_path / "clip"), torch.rand(2, 16, 16, 3)
    assert tower.has_text and tower.side == 16 and tower.layers == 2
    network = CLIPModel.from_pretrained(tmp_path / "clip").float().eval()
    tokens = CLIPTokenizer.from_pretrained(tmp_path / "clip")(["a red cube", "a blue sphere"], padding="max_length",
                                                              return_tensors="pt", max_length=77)
    with torch.no_grad():
        out = network(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask,
                      pixel_values=normalized(rgb.permute(0, 3, 1, 2)))
    assert torch.allclose(tower.embed_pictures(rgb), out.image_embeds, atol=1e-5)
    assert torch.allclose(tower.embed_texts(["a red cube", "a blue sphere"]), out.text_embeds, atol=1e-5)
    states = tower.features(rgb, -1)
    assert states.shape == (2, 65, 32) and torch.equal(states, tower.features(rgb, 2))
    with pytest.raises(DistillError, match="no layer 3"):
        tower.features(rgb, 3)


def test_gradients_reach_pictures_of_any_size(tmp_path):
    tower = tiny_tower(tmp_path / "clip")
    rgb = torch.rand(1, 40, 40, 3, requires_grad=True)
    tower.embed_pictures(rgb)[0, 0].backward()
    assert float(rgb.grad.abs().amin()) > 0 and not any(p.grad is not None for p in tower.network.parameters())


def test_dino_and_vit_are_read_from_their_folders(tmp_path):
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    sizes = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, image_size=16, patch_size=4,
                 intermediate_size=32)
    for kind, network in (("dinov2", Dinov2Model(Dinov2Config(**sizes))), ("vit", ViTModel(ViTConfig(**sizes)))):
        network.save_pretrained(tmp_path / kind)
        tower = load_tower(tmp_path / kind, "Test", CPU)
        rgb = torch.rand(1, 16, 16, 3, requires_grad=True)
        found = tower.embed_pictures(rgb)
        assert float(found.detach().norm()) == pytest.approx(1, abs=1e-5) and not tower.has_text
        with torch.no_grad():
            expected = network.eval()(normalized(rgb.permute(0, 3, 1, 2))).last_hidden_state[:, 0]
        assert torch.allclose(found, torch.nn.functional.normalize(expected, dim=-1), atol=1e-5)
        assert tower.features(rgb, 1).shape == (1, 17, 16)
        with pytest.raises(DistillError, match="no text encoder"):
            tower.embed_texts(["a cat"])


def test_what_is_no_tower_is_named(tmp_path):
    with pytest.raises(DistillError, match="Test: .*no config.json"):
        load_tower(tmp_path, "Test", CPU)
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(DistillError, match='kind "bert"'):
        load_tower(tmp_path, "Test", CPU)


def test_a_folder_is_replaced_whole_and_its_digest_changes(tmp_path):
    folder = write_tiny_clip(tmp_path / "clip")
    before = weights_digest(folder)
    assert before == weights_digest(folder)
    write_tiny_clip(folder, seed=1)
    assert weights_digest(folder) != before
    network, _ = load_clip_folder(folder, "Test")
    save_clip_folder(folder, network, write_tokenizer)
    assert (folder / "vocab.json").is_file() and len(list(tmp_path.iterdir())) == 1
