import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from distill3d.nodes.core.errors import DistillError
from distill3d.nodes.models.clip_tower import load_clip_folder
from distill3d.nodes.train.clip_network import build_clip
from distill3d.nodes.train.clip_sheet import CAPTIONS, CELL, caption_pictures, similarity_sheet
from distill3d.nodes.train.clip_trainer import (
    ClipRecipe,
    ClipTrainer,
    contrastive_loss,
    embed_pixels,
    embed_words,
    same_captions,
)
from distill3d.nodes.train.disturb import disturb
from distill3d.nodes.train.near_caption import near_caption
from distill3d.nodes.train.trainer import Trainer
from distill3d.nodes.train.training_run import run_training

SMALL = dict(channels=(32, 1, 1), batch=8, steps=3, warmup=1)


def test_loss_is_the_symmetric_cross_entropy_without_equal_captions():
    torch.manual_seed(0)
    pictures, texts = F.normalize(torch.randn(3, 5), dim=1), F.normalize(torch.randn(4, 5), dim=1)
    captions = ["a", "b", "a"]
    same = same_captions(captions, [*captions, "b"])
    assert same.tolist() == [[False, False, True, False], [False, False, False, True], [True, False, False, False]]
    cosine = 7.0 * pictures @ texts.T
    rows = [(0, (0, 1, 3)), (1, (0, 1, 2)), (2, (1, 2, 3))]
    to_text = [float(torch.logsumexp(cosine[i, list(js)], 0) - cosine[i, i]) for i, js in rows]
    columns = [(0, (0, 1)), (1, (0, 1, 2)), (2, (1, 2))]
    to_picture = [float(torch.logsumexp(cosine[list(js), i], 0) - cosine[i, i]) for i, js in columns]
    loss = contrastive_loss(pictures, texts, same, torch.tensor(7.0))
    assert float(loss) == pytest.approx(0.5 * (sum(to_text) + sum(to_picture)) / 3, rel=1e-5)


def test_a_run_continues_bit_for_bit_and_its_folder_gives_the_same_embeddings(data, tmp_path):
    whole = ClipTrainer(data, ClipRecipe(**SMALL))
    losses = []
    run_training(whole, str(tmp_path / "a"), lambda step, total, loss, sheet: losses.append(loss))
    assert losses[0] == pytest.approx(0.5 * (math.log(8) + math.log(16)), abs=0.8)
    half = ClipTrainer(data, ClipRecipe(**{**SMALL, "steps": 1}))
    run_training(half, str(tmp_path / "b"))
    rest = ClipTrainer(data, ClipRecipe(**SMALL))
    run_training(rest, str(tmp_path / "b"))
    assert rest.step == 3 and isinstance(rest, Trainer)
    for one, other in zip(whole.model.parameters(), rest.model.parameters()):
        assert torch.equal(one, other)
    clip, tokenizer = load_clip_folder(tmp_path / "a" / "builtin", "Test")
    pixels, texts = torch.randn(2, 3, 8, 8), ["a red cube", "a blue sphere on top of a green cone"]
    own = whole.average["clip"]
    with torch.no_grad():
        assert torch.allclose(embed_pixels(clip, pixels), embed_pixels(own, pixels), atol=5e-3)
        words = embed_words(own, whole.tokenizer, texts)
        assert torch.allclose(embed_words(clip, tokenizer, texts), words, atol=5e-3)
        assert torch.allclose(embed_words(own, whole.tokenizer, texts[:1]), words[:1], atol=1e-5), "padding"
    other = ClipTrainer(data, ClipRecipe(**SMALL))
    other.begin_from(str(tmp_path / "a" / "builtin"))
    assert torch.allclose(other.model["clip"].logit_scale, own.logit_scale, atol=1e-2)
    with pytest.raises(DistillError, match="other sizes"):
        ClipTrainer(data, ClipRecipe(**{**SMALL, "channels": (64, 1, 1)})).begin_from(str(tmp_path / "a" / "builtin"))


def test_untrainable_sizes_are_refused(data):
    with pytest.raises(DistillError, match="multiple of 32"):
        build_clip(32, 40, 1, 1)
    with pytest.raises(DistillError, match="no images"):
        ClipTrainer(data._replace(images=data.images[:0]), ClipRecipe(**SMALL))


def test_near_captions_are_false_and_well_formed():
    rng = np.random.default_rng(0)
    found = {near_caption(rng, "an orange cone on top of a purple cube") for _ in range(200)}
    assert "an orange cone on top of a purple cube" not in found
    assert {"a purple cone on top of an orange cube", "an orange cube on top of a purple cone"} <= found
    assert all(word != "a" or caption.split()[i + 1][0] not in "aeiou"
               for caption in found for i, word in enumerate(caption.split()[:-1]))
    assert {near_caption(rng, "a striped red cube").split()[1] for _ in range(100)} == {"striped", "dotted"}


def test_disturbed_pictures_are_pictures():
    rgb = torch.rand(64, 3, 8, 8)
    found = disturb(rgb, 0.25, torch.Generator().manual_seed(0))
    assert found.shape == rgb.shape and 0 <= float(found.min()) and float(found.max()) <= 1
    grey = disturb(rgb, 1.0, torch.Generator().manual_seed(0))
    clean = (grey.amax(1) - grey.amin(1)).amax((1, 2)) < 1e-5
    assert 0.3 < clean.float().mean() < 0.7, "those without noise are grey"
    assert torch.equal(found, disturb(rgb, 0.25, torch.Generator().manual_seed(0)))


def test_sheet_shows_the_largest_similarity_white():
    assert caption_pictures(CAPTIONS[:2], 16).shape == (2, 16, 16, 3)
    count = len(CAPTIONS)
    sheet = similarity_sheet(lambda rgb, captions: (torch.eye(count), torch.eye(count)), 16)
    assert sheet.shape == (CELL + count * CELL // 4, count * CELL, 3)
    table = sheet[CELL:, :, 0]
    assert float(table[0, 0]) == 1 and float(table[0, CELL]) == 0
