import re

import pytest
import torch

from distill3d.nodes.core.view_words import VIEW_WORDS
from distill3d.nodes.shapes.caption import KNOWN_WORDS
from distill3d.nodes.train.if_layout import (
    WORDS,
    build_text_encoder,
    build_tokenizer,
    build_unet,
    encode_text,
    save_if_folder,
)


def test_every_word_is_one_token():
    tokenizer = build_tokenizer()
    for word in (*KNOWN_WORDS, *VIEW_WORDS, ","):
        assert tokenizer(word).input_ids == [WORDS.index(word), WORDS.index("</s>")]
    ids = tokenizer("A red cube,az30 el-15").input_ids
    assert [WORDS[i] for i in ids] == ["a", "red", "cube", ",", "az30", "el-15", "</s>"]
    assert WORDS[tokenizer("hamburger").input_ids[0]] == "<unk>"


def test_fresh_unet_has_constant_variance_channels():
    unet = build_unet((16, 16, 32), 8)
    out = unet(torch.randn(2, 3, 8, 8), torch.tensor([10, 500]), torch.randn(2, 77, 64)).sample
    assert out.shape == (2, 6, 8, 8)
    assert bool((out[:, 3:] == -1).all())


def test_published_size():
    assert sum(p.numel() for p in build_unet().parameters()) == 2_330_310


def test_diffusers_loads_the_folder(tmp_path, capfd):
    from diffusers import IFPipeline

    torch.manual_seed(0)
    unet, text_encoder, tokenizer = build_unet((16, 16, 32), 8), build_text_encoder().eval(), build_tokenizer()
    path = tmp_path / "prior"
    for _ in range(2):  # the second replaces the first
        save_if_folder(str(path), unet, text_encoder, tokenizer)
    assert [entry.name for entry in tmp_path.iterdir()] == ["prior"]
    assert not any(file.stat().st_mode & 0o077 != 0o044 for file in path.rglob("*") if file.is_file())
    assert next(unet.parameters()).dtype == torch.float32
    assert capfd.readouterr() == ("", "")
    pipeline = IFPipeline.from_pretrained(
        path, safety_checker=None, feature_extractor=None, watermarker=None, torch_dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    prompt = "a red cube, az30 el-15"
    hidden, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, clean_caption=False)
    with torch.no_grad():
        torch.testing.assert_close(hidden, encode_text(text_encoder, tokenizer, [prompt]), atol=2e-2, rtol=2e-2)
    images = pipeline(prompt, num_inference_steps=2, output_type="np", clean_caption=False).images
    assert images.shape == (1, 8, 8, 3)
    assert pipeline.scheduler.config.variance_type == "learned_range"


def test_missing_package_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ImportError, match="diffusers"):
        build_unet()


@pytest.mark.parametrize("channels", [(16, 16, 16), (24, 32), (32,), (), (-32, 64)])
def test_channels_that_do_not_fit_are_refused(channels):
    with pytest.raises(ValueError, match=re.escape(str(channels))):
        build_unet(channels)
