"""CLIP's image tower, tiny, against its own published code, line by line."""

import pytest
import torch

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.checkpoint_file import CheckpointFile
from distill3d.nodes.models.clip_vision import embed_pictures, read_open_ai_vision
from published import random_weights
from tiny_zero123 import TOWER, bicubic_matrix, embed_by_hand, open_ai_vision

pytest.importorskip("transformers")


def test_embeddings_are_those_of_the_published_code(tmp_path):
    weights = random_weights(open_ai_vision(**TOWER), seed=4)
    torch.save({"state_dict": {"a.visual." + key: value for key, value in weights.items()}}, tmp_path / "a.ckpt")
    tower = read_open_ai_vision(CheckpointFile(tmp_path / "a.ckpt", "test"), "a.visual.")
    picture = torch.rand(2, 40, 40, 3, generator=torch.Generator().manual_seed(0))
    found = embed_pictures(tower, picture)
    expected = embed_by_hand(weights, picture.permute(0, 3, 1, 2) * 2 - 1)
    assert found.shape == (2, 24) and expected.std() > 0.1
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_matrix_of_the_resize_is_right():
    matrix = bicubic_matrix(9, 5)
    assert torch.equal(matrix @ torch.arange(9.0).double(), torch.arange(0, 9, 2).double())
    assert torch.allclose(bicubic_matrix(10, 7).sum(1), torch.ones(7).double())


def test_a_file_without_a_tower_is_refused(tmp_path):
    torch.save({"a.visual.conv1.weight": torch.zeros(8, 3, 4, 4)}, tmp_path / "a.pt")
    with pytest.raises(DistillError, match="holds no CLIP image tower .*positional_embedding"):
        read_open_ai_vision(CheckpointFile(tmp_path / "a.pt", "test"), "a.visual.")
    weights = random_weights(open_ai_vision(**TOWER))
    del weights["ln_post.bias"]
    torch.save(weights, tmp_path / "b.pt")
    with pytest.raises(DistillError, match="lacks .*post_layernorm.bias"):
        read_open_ai_vision(CheckpointFile(tmp_path / "b.pt", "test"), "")
